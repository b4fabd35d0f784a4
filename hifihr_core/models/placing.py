"""Turn an estimate into a hand in front of its crop's camera: posed, placed, projected and, if requested, rendered."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hifihr_core.config.tree import RenderSettings
from hifihr_core.geometry.cameras import place_root
from hifihr_core.hands.contract import HandModel
from hifihr_core.models.contract import Estimate
from hifihr_core.placed_hands import LitHands, PlacedHands, PosedHands, draw_hands, pose_hands
from hifihr_core.rendering import PAPER, SKIN, Rendered, Renderer

#: Materials by name in the settings.
MATERIALS = {"smooth": SKIN, "phong": PAPER}


@dataclass(frozen=True)
class PlacedEstimate(PosedHands):
    """One estimated hand per crop, posed and placed, and its image if it was rendered.

    `rendered` is None without a renderer.
    """

    estimate: Estimate
    rendered: Rendered | None = None


def place_estimate(
    estimate: Estimate,
    K: Float[Tensor, "B 3 3"],
    hand_model: HandModel,
    *,
    root_cam: Float[Tensor, "B 3"] | None = None,
    renderer: Renderer | None = None,
    background: Float[Tensor, "B 3 H W"] | None = None,
) -> PlacedEstimate:
    """Pose, place, project and render estimated hands; `K` is the camera of the crop.

    The root is the estimated one, or `root_cam` if an evaluation protocol provides the true one. Gradients reach all
    parts of the estimate. Raises: ValueError if a renderer is given but the estimate has no light or no texture.
    """
    if root_cam is None:
        root_cam = place_root(estimate.root_px, estimate.scale_px_per_m, K)
    if renderer is None:
        bare = PlacedHands(estimate.parameters.untextured, root_cam)
        return PlacedEstimate(**vars(pose_hands(hand_model, bare, K)), estimate=estimate)
    if estimate.light is None or estimate.parameters.texture is None:
        raise ValueError(
            "the estimate lacks light or texture, which rendering needs; build the network with model.texture=true"
        )
    drawn = draw_hands(hand_model, renderer, LitHands(estimate.parameters, root_cam, estimate.light), K, background)
    return PlacedEstimate(**vars(drawn.posed), estimate=estimate, rendered=drawn.rendered)


def build_renderer(hand: HandModel, settings: RenderSettings, image_px: int) -> Renderer:
    """Return the renderer for square crops that the settings of a run describe, on the device of `hand`."""
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
