"""Terms on joint maps, for networks that find keypoints first."""

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.lookup import needed
from hifihr_core.losses.terms import LossInputs, Ratio, term
from hifihr_core.models.joint_maps import target_maps

#: Weight of the read-out point's distance, in fractions of the crop, relative to the map's cross-entropy.
PLACE_WEIGHT = 10.0


@term("joint_maps", labels=("joints_px",), requires=("keypoints",))
def joint_maps(inputs: LossInputs) -> Ratio:
    """Cross-entropy of the joint maps, and distance of the points read from them, to the annotated joints."""
    return _maps(inputs, inputs.labels["joints_px"], inputs.present["joints_px"][:, None].expand(-1, 21))


@term("keypoint_maps", labels=("keypoints_px", "keypoints_confidence"), requires=("keypoints",))
def keypoint_maps(inputs: LossInputs) -> Ratio:
    """The same for detected keypoints, weighted by their confidence."""
    present = inputs.present["keypoints_px"] & inputs.present["keypoints_confidence"]
    return _maps(inputs, inputs.labels["keypoints_px"], inputs.labels["keypoints_confidence"] * present[:, None])


def _maps(inputs: LossInputs, points_px: Float[Tensor, "B 21 2"], trust: Tensor) -> Ratio:
    """Average over the joints inside the crop; the maps do not cover others."""
    found = needed(inputs.prediction.estimate.keypoints, "the joint maps")
    height, width = inputs.image.shape[-2:]
    points = points_px / points_px.new_tensor([width, height])
    inside = ((points > 0) & (points < 1)).all(dim=-1)
    target = target_maps(points.clamp(0, 1), height=found.logits.shape[-2], width=found.logits.shape[-1])
    entropy = -(target * found.logits.flatten(2).log_softmax(dim=-1).view_as(target)).sum(dim=(2, 3))
    distance = (found.points - points).abs().mean(dim=-1)
    weight = trust.to(distance.dtype) * inside * inputs.present["image"][:, None]
    loss = torch.where(weight > 0, entropy + PLACE_WEIGHT * distance, 0.0)
    return Ratio((loss * weight).sum(dim=1), weight.sum(dim=1))
