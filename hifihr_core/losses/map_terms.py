"""Terms on joint maps (a probability per pixel and joint), for networks that find keypoints first."""

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.lookup import needed
from hifihr_core.losses.terms import LossInputs, Ratio, term
from hifihr_core.models.joint_maps import target_maps

#: Weight of the distance between the point read from a map and the label (fraction of the crop), relative to the
#: cross-entropy of the map.
PLACE_WEIGHT = 10.0


@term("joint_maps", labels=("joints_px",), requires=("keypoints",))
def joint_maps(inputs: LossInputs) -> Ratio:
    """Cross-entropy of the joint maps, plus the distance of the points read from them to the annotated joints."""
    return _maps(inputs, inputs.labels["joints_px"], inputs.present["joints_px"][:, None].expand(-1, 21))


@term("keypoint_maps", labels=("keypoints_px", "keypoints_confidence"), requires=("keypoints",))
def keypoint_maps(inputs: LossInputs) -> Ratio:
    """The term `joint_maps` with detected keypoints as labels, weighted by their confidence."""
    present = inputs.present["keypoints_px"] & inputs.present["keypoints_confidence"]
    return _maps(inputs, inputs.labels["keypoints_px"], inputs.labels["keypoints_confidence"] * present[:, None])


def _maps(inputs: LossInputs, points_px: Float[Tensor, "B 21 2"], trust: Tensor) -> Ratio:
    """Return the loss averaged over the joints inside the crop, weighted by `trust`; maps do not cover the others."""
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
