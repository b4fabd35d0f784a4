"""Terms on the maps of joints, for networks that find keypoints first."""

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.losses.terms import Ratio, Scene, term
from hifihr_core.models.joint_maps import target_maps

#: Weight of the distance of the read point, parts of the crop, beside the cross-entropy of the map.
PLACE_WEIGHT = 10.0


@term("joint_maps", labels=("joints_px",), requires=("keypoints",))
def joint_maps(scene: Scene) -> Ratio:
    """Cross-entropy of the joints' maps, and the distance of the points read from them, to the annotated joints."""
    return _maps(scene, scene.labels["joints_px"], scene.present["joints_px"][:, None].expand(-1, 21))


@term("keypoint_maps", labels=("keypoints_px", "keypoints_confidence"), requires=("keypoints",))
def keypoint_maps(scene: Scene) -> Ratio:
    """The same to detected keypoints, weighed by their confidence."""
    present = scene.present["keypoints_px"] & scene.present["keypoints_confidence"]
    return _maps(scene, scene.labels["keypoints_px"], scene.labels["keypoints_confidence"] * present[:, None])


def _maps(scene: Scene, points_px: Float[Tensor, "B 21 2"], trust: Tensor) -> Ratio:
    """Average over the joints that stand inside the crop; the maps say nothing of others."""
    found = scene.prediction.estimate.keypoints
    assert found is not None
    height, width = scene.image.shape[-2:]
    points = points_px / points_px.new_tensor([width, height])
    inside = ((points > 0) & (points < 1)).all(dim=-1)
    target = target_maps(points.clamp(0, 1), height=found.logits.shape[-2], width=found.logits.shape[-1])
    entropy = -(target * found.logits.flatten(2).log_softmax(dim=-1).view_as(target)).sum(dim=(2, 3))
    distance = (found.points - points).abs().mean(dim=-1)
    weight = trust.to(distance.dtype) * inside * scene.present["image"][:, None]
    loss = torch.where(weight > 0, entropy + PLACE_WEIGHT * distance, 0.0)
    return Ratio((loss * weight).sum(dim=1), weight.sum(dim=1))
