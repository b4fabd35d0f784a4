"""From an estimate to a hand in front of the camera: posed, placed, projected and, where wanted, rendered."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.config.tree import RenderSettings
from hifihr_core.geometry.cameras import place_root, project
from hifihr_core.hands.contract import Hand, HandModel
from hifihr_core.models.reconstructor import Estimate
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import PAPER, SKIN, Rendered, Renderer

#: Nearest depth at which a joint is projected; a root that stands too near would put joints behind the camera.
NEAR_M = 0.01

#: The materials that settings name.
MATERIALS = {"smooth": SKIN, "phong": PAPER}


@runtime_checkable
class Renders(Protocol):
    """What `predict_hand` asks of a renderer: `hifihr_core.rendering.Renderer` is one."""

    def __call__(
        self, vertices_cam: Tensor, K: Tensor, appearance: Appearance, light: Light, background: Tensor | None = None
    ) -> Rendered:
        """Draw hands before a background."""
        ...


@dataclass(frozen=True)
class Prediction:
    """A hand per crop in the camera frame, metres, with its picture if it was rendered.

    `hand` is in the root frame. `joints_px` are pixels of the crop. `rendered` is None without a renderer.
    """

    estimate: Estimate
    hand: Hand
    root_cam: Float[Tensor, "B 3"]
    joints_cam: Float[Tensor, "B 21 3"]
    vertices_cam: Float[Tensor, "B V 3"]
    joints_px: Float[Tensor, "B 21 2"]
    rendered: Rendered | None = None


def predict_hand(
    estimate: Estimate,
    K: Float[Tensor, "B 3 3"],
    hand_model: HandModel,
    *,
    root_cam: Float[Tensor, "B 3"] | None = None,
    renderer: Renders | None = None,
    background: Float[Tensor, "B 3 H W"] | None = None,
) -> Prediction:
    """Pose, place, project and render estimated hands; `K` is the camera of the crop.

    The root is the estimated one, or `root_cam` where the protocol gives the true one. Gradients reach every number of
    the estimate. Raises: ValueError if a renderer is given but the estimate has no light or no texture.
    """
    parameters = estimate.parameters if renderer is not None else replace(estimate.parameters, texture=None)
    hand = hand_model(parameters)
    if root_cam is None:
        root_cam = place_root(estimate.root_px, estimate.scale_px_per_m, K)
    joints_cam = hand.joints + root_cam[:, None]
    vertices_cam = hand.vertices + root_cam[:, None]
    rendered = None
    if renderer is not None:
        if estimate.light is None or hand.appearance is None:
            raise ValueError("rendering needs an estimate with light and texture; build the network with texture=True")
        rendered = renderer(vertices_cam, K, hand.appearance, estimate.light, background)
    return Prediction(
        estimate=estimate,
        hand=hand,
        root_cam=root_cam,
        joints_cam=joints_cam,
        vertices_cam=vertices_cam,
        joints_px=project(in_front(joints_cam), K),
        rendered=rendered,
    )


def in_front(points_cam: Float[Tensor, "*B N 3"], *, near_m: float = NEAR_M) -> Float[Tensor, "*B N 3"]:
    """Return the points with z of at least `near_m`; no gradient reaches the z of those that were moved."""
    return torch.cat((points_cam[..., :2], points_cam[..., 2:].clamp(min=near_m)), dim=-1)


def build_renderer(hand: HandModel, settings: RenderSettings, image_px: int) -> Renderer:
    """Return the renderer of a run for square crops, on the device of its hand."""
    renderer = Renderer(
        hand.faces,
        height=image_px,
        width=image_px,
        backend=settings.backend,
        material=MATERIALS[settings.shading],
        antialiased=settings.antialias,
        supersample=settings.supersample,
    )
    return renderer.to(hand.faces.device)
