"""The inputs and outputs of the renderer, in addition to the records in `hifihr_core.records`."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Cull = Literal["none", "back", "front"]
Highlight = Literal["blinn_phong", "phong"]


@dataclass(frozen=True)
class Fragments:
    """The surface seen through the centre of every pixel.

    Concretely, ``face[b, i, j] = f`` means that ``faces[f]`` is nearest there; -1 means none (bary 0, depth inf).
    `bary` are the weights of the face's three corners in space (perspective-correct), `depth` is z in metres.
    """

    face: Int[Tensor, "B H W"]
    bary: Float[Tensor, "B H W 3"]
    depth: Float[Tensor, "B H W"]


@dataclass(frozen=True)
class Material:
    """How a surface reflects light, in the terms of `primitives.shade`.

    `ambient`, `diffuse` and `specular` are the factors k_a, k_d and k_s, `shininess` is the exponent p. With
    `white_highlight`, the highlight is white with brightness k_s, whatever the light's colour.
    """

    ambient: float = 1.0
    diffuse: float = 1.0
    specular: float = 0.0
    shininess: float = 30.0
    highlight: Highlight = "blinn_phong"
    white_highlight: bool = False


@dataclass(frozen=True)
class SelfShade:
    """The fractions (0 to 1) of the light that reach each vertex, given that the hand itself blocks some of it.

    `sky` is for ambient and sky light (ambient occlusion), `sun` for directional light (cast shadow).
    """

    sky: Float[Tensor, "B V"]
    sun: Float[Tensor, "B V"]


#: A slight, broad sheen, like that of skin.
SKIN = Material(specular=0.08, shininess=16.0)
#: The material of HiFiHR's renderer (PyTorch3D's hard Phong): specular 0.2 x the light's 0.2, regardless of its colour.
PAPER = Material(diffuse=0.8, specular=0.04, shininess=30.0, highlight="phong", white_highlight=True)


@dataclass(frozen=True)
class Rendered:
    """A rendered batch.

    `image` is RGB, in [0, 1] unless the light is brighter than white. `silhouette` is the covered fraction of each
    pixel, in [0, 1]. `depth` is z in metres times `silhouette`, so 0 where there is no surface; `surface_depth` is z
    itself. `normals` are unit vectors in the camera frame at pixel centres, 0 where there is no surface.
    """

    image: Float[Tensor, "B 3 H W"]
    silhouette: Float[Tensor, "B H W"]
    depth: Float[Tensor, "B H W"]
    normals: Float[Tensor, "B 3 H W"]

    @property
    def surface_depth(self) -> Float[Tensor, "B H W"]:
        """Return z of the surface, metres; infinite where the surface covers less than half of the pixel."""
        return torch.where(self.silhouette >= 0.5, self.depth / self.silhouette.clamp(min=1e-6), torch.inf)
