"""Labels of a synthetic picture beside its parameters: boxes, visibility, and what a detector would have found."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hifihr_core.data.synthesis.draws import Dice
from hifihr_core.hands.contract import Hand, HandModel
from hifihr_core.skeleton import SCALE_BONE

#: A joint lies inside the hand, this much behind the surface that is seen in front of it at most.
_DEPTH_OF_JOINT_M = 0.018


def stand_in_indices(hand: HandModel) -> Int[Tensor, "778"]:
    """Return the vertices that stand in for MANO's 778 on a hand without them: evenly through its surface vertices."""
    surface = torch.unique(hand.faces)
    places = torch.linspace(0, len(surface) - 1, 778, dtype=torch.float64, device=surface.device).round().long()
    return surface[places]


def mano_vertices(hand: HandModel, posed: Hand) -> Float[Tensor, "B 778 3"]:
    """Return MANO's vertices of posed hands, root frame, or their stand-ins."""
    if posed.mano_vertices is not None:
        return posed.mano_vertices
    return posed.vertices[:, stand_in_indices(hand)]


def visible_joints(
    joints_px: Float[Tensor, "B 21 2"],
    joints_cam: Float[Tensor, "B 21 3"],
    depth: Float[Tensor, "B H W"],
    seen: Bool[Tensor, "B H W"],
) -> Float[Tensor, "B 21"]:
    """Return 1 where a joint is in the picture and nothing but its own skin is in front of it, else 0."""
    size = depth.shape[-1]
    column, row = joints_px.floor().long().unbind(dim=-1)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    place = row.clamp(0, size - 1) * size + column.clamp(0, size - 1)
    near = torch.gather(depth.flatten(1), 1, place)
    own = torch.gather(seen.flatten(1), 1, place)
    return (inside & own & (joints_cam[..., 2] - near < _DEPTH_OF_JOINT_M)).to(depth)


def detect_keypoints(
    joints_px: Float[Tensor, "B 21 2"], visible: Float[Tensor, "B 21"], image_px: int, dice: Dice, missing: float
) -> tuple[Float[Tensor, "B 21 2"], Float[Tensor, "B 21"]]:
    """Return what a 2D detector would find: joints with noise, more of it where hidden, and confidences that show it.

    Missing and low-confidence joints are (0, 0) with confidence 0, as detectors' files hold them.
    """
    spread = image_px * torch.where(visible > 0, 0.008, 0.03) * dice.log_uniform(0.5, 2.0, 21)
    found = joints_px + spread[..., None] * dice.normal(21, 2)
    certainty = (0.95 - 12 * spread / image_px + 0.08 * dice.normal(21)).clamp(0.05, 1.0)
    inside = ((found >= 0) & (found < image_px)).all(dim=-1)
    kept = inside & (dice.uniform(0.0, 1.0, 21) >= missing * torch.where(visible > 0, 1.0, 4.0))
    return found * kept[..., None], certainty * kept


def bone_length(joints: Float[Tensor, "B 21 3"]) -> Float[Tensor, " B"]:
    """Return the length of the middle finger's proximal phalanx, metres."""
    parent, child = SCALE_BONE
    return (joints[:, child] - joints[:, parent]).norm(dim=-1)


def hand_box(verts_px: Float[Tensor, "B V 2"], image_px: int) -> Float[Tensor, "B 4"]:
    """Return the box of the hand's vertices, cut at the picture's border, pixels."""
    box = torch.cat((verts_px.amin(dim=1), verts_px.amax(dim=1)), dim=-1)
    return box.clamp(0, image_px)
