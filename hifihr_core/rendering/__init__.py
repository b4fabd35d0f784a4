"""Differentiable rendering of hands: five primitives, and a renderer that composes them."""

from hifihr_core.rendering._numba.threads import kernels_on
from hifihr_core.rendering.fragments import PAPER, SKIN, Fragments, Material, Rendered, SelfShade
from hifihr_core.rendering.primitives import NEAR_M, antialias, interpolate, rasterize, sample_texture, shade
from hifihr_core.rendering.renderer import Renderer
from hifihr_core.rendering.self_shade import self_shade

__all__ = [
    "NEAR_M",
    "PAPER",
    "SKIN",
    "Fragments",
    "Material",
    "Rendered",
    "Renderer",
    "SelfShade",
    "antialias",
    "interpolate",
    "kernels_on",
    "rasterize",
    "sample_texture",
    "self_shade",
    "shade",
]
