"""Labels of a synthetic picture besides its parameters: boxes, visibility, and simulated detections."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.hands.contract import Hand, HandModel
from hifihr_core.skeleton import SCALE_BONE, WRIST
from hifihr_core.synthesis.dice import Dice

#: Maximum depth of a joint below the surface in front of it, metres.
_DEPTH_OF_JOINT_M = 0.018
_DEPTH_OF_WRIST_M = 0.03


def stand_in_indices(hand: HandModel) -> Int[Tensor, "778"]:
    """Return the indices of 778 vertices that replace MANO's in a hand model without them.

    They are evenly spaced in the list of vertices that belong to faces.
    """
    surface = torch.unique(hand.faces)
    places = torch.linspace(0, len(surface) - 1, 778, dtype=torch.float64, device=surface.device).round().long()
    return surface[places]


def mano_vertices(hand: HandModel, posed: Hand) -> Float[Tensor, "B 778 3"]:
    """Return MANO's vertices of posed hands, or those of `stand_in_indices` if there are none; root frame, metres."""
    if posed.mano_vertices is not None:
        return posed.mano_vertices
    return posed.vertices[:, stand_in_indices(hand)]


def visible_joints(
    joints_px: Float[Tensor, "B 21 2"], joints_cam: Float[Tensor, "B 21 3"], depth: Float[Tensor, "B H W"]
) -> Float[Tensor, "B 21"]:
    """Return 1 for joints inside the picture that only their own skin covers, else 0.

    `depth` is that of the nearest surface, metres: infinite where there is none, 0 for an occluder.
    """
    height, width = depth.shape[-2:]
    column, row = joints_px.floor().long().unbind(dim=-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    near = torch.gather(depth.flatten(1), 1, place)
    skin_m = torch.full_like(joints_cam[0, :, 2], _DEPTH_OF_JOINT_M)
    skin_m[WRIST] = _DEPTH_OF_WRIST_M
    return (inside & (joints_cam[..., 2] - near < skin_m)).to(depth)


def detect_keypoints(
    joints_px: Float[Tensor, "B 21 2"],
    visible: Float[Tensor, "B 21"],
    hand_px: Float[Tensor, " B"],
    size_px: tuple[int, int],
    dice: Dice,
    missing: float,
) -> tuple[Float[Tensor, "B 21 2"], Float[Tensor, "B 21"]]:
    """Simulate a 2D detector: return joints with noise, which is larger for hidden ones, and matching confidences.

    `hand_px` is the size of the hand, which scales the noise; `size_px` is (height, width) of the picture. A joint
    is not found if its noisy position is outside the picture, and otherwise with the probability `missing` (four times
    this if hidden). Joints that are not found are (0, 0) with confidence 0, as in detectors' files.
    """
    part = torch.where(visible > 0, 0.01, 0.04) * dice.log_uniform(0.5, 2.0, 21)
    found = joints_px + (part * hand_px[:, None])[..., None] * dice.normal(21, 2)
    certainty = (0.95 - 9 * part + 0.08 * dice.normal(21)).clamp(0.05, 1.0)
    inside = ((found >= 0) & (found < found.new_tensor(size_px[::-1]))).all(dim=-1)
    kept = inside & (dice.uniform(0.0, 1.0, 21) >= missing * torch.where(visible > 0, 1.0, 4.0))
    return found * kept[..., None], certainty * kept


def bone_length(joints: Float[Tensor, "B 21 3"]) -> Float[Tensor, " B"]:
    """Return the length of the middle finger's proximal phalanx, metres."""
    parent, child = SCALE_BONE
    return (joints[:, child] - joints[:, parent]).norm(dim=-1)


def hand_box(verts_px: Float[Tensor, "B V 2"], size_px: tuple[int, int]) -> Float[Tensor, "B 4"]:
    """Return the box (x0, y0, x1, y1) of the hand's vertices, clipped to a picture of `size_px` (height, width)."""
    limit = verts_px.new_tensor(size_px[::-1])
    low, high = verts_px.amin(dim=1), verts_px.amax(dim=1)
    return torch.cat((low.clamp(min=0).minimum(limit), high.clamp(min=0).minimum(limit)), dim=-1)
