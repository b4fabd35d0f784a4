"""The two ways to start a reconstruction: from keypoints with the lifter, or from the image with the network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.geometry.cameras import place_root, transform_K
from hifihr_core.geometry.crops import transform_points
from hifihr_core.hands import HandModel
from hifihr_core.lifting.fitting import fit_keypoints
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.lifting.second_sight import SecondSight, Sighted
from hifihr_core.models.contract import Estimate, ImageNetwork
from hifihr_core.photos.detections import GIVEN_BOX_SCALE, KEYPOINT_BOX_SCALE, Detection
from hifihr_core.placed_hands import LitHands, choose, default_light, map_tensors, mean_texture

#: Mean confidence in the network's joints from which its position for the hand is trusted.
_SURE = 0.6

Start = Literal["auto", "image", "keypoints"]


@dataclass(frozen=True)
class Started:
    """The hands with which a reconstruction starts, and the origin of each one's geometry ("image" or "keypoints").

    `confidence` is the image network's mean confidence in the joints that it found, or 1 if it was not used or does not
    find joints. Refinement does not use these joints: the network's hand already agrees with them, and a fit to the
    image alone is more accurate (docs/benchmarks/prediction.md).
    """

    hands: LitHands
    origins: list[str]
    confidence: list[float]


def look(network: ImageNetwork, crops: Crops, *, network_px: int) -> tuple[Estimate, Float[Tensor, "B 3 3"]]:
    """Run the image network on each crop; return its estimate and the cameras K of its inputs.

    `network_px` is the side of the network's training crops.
    """
    resize = network_px / crops.image.shape[-1]
    image, K = crops.image, crops.K
    if resize != 1:
        image = functional.interpolate(image, size=(network_px, network_px), mode="bilinear", antialias=True)
        T_small_crop = torch.diag(K.new_tensor([resize, resize, 1.0]))
        K = transform_K(K, T_small_crop.expand_as(K))
    return network(image, K), K


def centred(
    network: ImageNetwork, crops: Crops, detections: Sequence[Detection], *, network_px: int, least: float = 0.0
) -> list[Detection]:
    """Return the detections; boxes without keypoints are moved to the joints that the network finds.

    In a hand-drawn box or the whole photo, the hand is smaller or farther off centre than in training crops, so a
    second run on a closer crop is more accurate. A box is not moved if the network is unsure, or if the new box would
    be smaller than `least` times the old one: a much smaller hand inside a drawn box is an error.
    """
    estimate, _ = look(network, crops, network_px=network_px)
    if estimate.keypoints is None:
        return list(detections)
    sure = estimate.keypoints.confidence.mean(dim=1) > _SURE
    points = estimate.keypoints.points.double().cpu().numpy() * crops.image.shape[-1]
    boxes = []
    for detection, found, T_crop_photo, is_sure in zip(
        detections, points, crops.T_crop_photo.double().cpu().numpy(), sure.tolist(), strict=True
    ):
        near = transform_points(found, np.linalg.inv(T_crop_photo))
        box = np.concatenate((near.min(axis=0), near.max(axis=0)))
        center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2 * KEYPOINT_BOX_SCALE / GIVEN_BOX_SCALE
        closer = np.concatenate((center - half, center + half))
        given = (detection.box_px[2:] - detection.box_px[:2]).max()
        keeps = detection.keypoints_px is not None or not is_sure or half < 8 or 2 * half < least * given
        boxes.append(detection if keeps else replace(detection, box_px=closer))
    return boxes


def from_image(hand: HandModel, estimate: Estimate, K: Float[Tensor, "B 3 3"]) -> LitHands:
    """Return the hands of an estimate, with the mean appearance if it has none; `K` is the one that `look` returned."""
    parameters = estimate.parameters
    if parameters.texture is None:
        parameters = mean_texture(hand, parameters)
    root_cam = place_root(estimate.root_px, estimate.scale_px_per_m, K)
    return LitHands(parameters, root_cam, estimate.light or default_light(root_cam))


def from_keypoints(
    lifter: Lifter, hand: HandModel, crops: Crops, second: SecondSight | None = None, sighted: Sighted | None = None
) -> LitHands:
    """Lift hands from their keypoints and fit them to these; their appearance is the mean.

    For the hands in `sighted`, the evidence that `second`, the hand network, found in their crops is used as well.
    """
    other = torch.ones_like(crops.confidence[:, 0], dtype=torch.bool) if sighted is None else ~sighted.which
    parts = []
    if bool(other.any()):
        points, confidence, K = crops.keypoints_px[other], crops.confidence[other], crops.K[other]
        parts.append(fit_keypoints(hand, lifter(points, confidence, K), points, confidence, K))
    if second is not None and sighted is not None:
        parts.append(second.start(hand, sighted, crops))
    rows = torch.argsort(other.logical_not().long(), stable=True).argsort()
    fitted = map_tensors(lambda *values: torch.cat(values)[rows], *parts)
    return LitHands(mean_texture(hand, fitted.parameters), fitted.root_cam, default_light(fitted.root_cam))


def start_hands(
    hand: HandModel,
    crops: Crops,
    *,
    network: ImageNetwork | None,
    lifter: Lifter | None,
    start: Start,
    network_px: int,
    second: SecondSight | None = None,
    sighted: Sighted | None = None,
) -> Started:
    """Return a start for every crop; `sighted` is the evidence that `second` found in some of them.

    With `start` "auto", the keypoints of a hand are used if it has some. The image network runs only if a hand needs
    it; then it also gives the texture and light of all hands.
    Raises: ConfigError if `start` is "keypoints" and a hand has none, AssetError if no installed model can reconstruct
    a hand.
    """
    seen = crops.confidence.amax(dim=1) > 0
    wants_keypoints = seen & (lifter is not None) & (start != "image")
    if start == "keypoints":
        _check_keypoints(seen, lifter, hand)
    origins = ["keypoints" if one else "image" for one in wants_keypoints.tolist()]
    if lifter is not None and bool(wants_keypoints.all()):
        return Started(from_keypoints(lifter, hand, crops, second, sighted), origins, [1.0] * len(seen))
    if network is None:
        raise AssetError(_nothing_reconstructs(start, lifter))
    estimate, K = look(network, crops, network_px=network_px)
    state = from_image(hand, estimate, K)
    confidence = torch.ones(len(seen)) if estimate.keypoints is None else estimate.keypoints.confidence.mean(dim=1)
    if lifter is not None and bool(wants_keypoints.any()):
        lifted = from_keypoints(lifter, hand, crops, second, sighted)
        same_look = replace(lifted.parameters, texture=state.texture)
        state = choose(wants_keypoints, LitHands(same_look, lifted.root_cam, state.light), state)
    return Started(state, origins, confidence.tolist())


def _check_keypoints(seen: Bool[Tensor, " B"], lifter: Lifter | None, hand: HandModel) -> None:
    if lifter is None:
        raise AssetError(f"--start keypoints: no lifter is installed for the hand {hand.name}; use --start image")
    if not bool(seen.all()):
        missing = int((~seen).sum())
        raise ConfigError(
            f"--start keypoints: hands without keypoints: {missing} of {len(seen)}; use --detector auto, "
            "or give keypoints in --boxes"
        )


def _nothing_reconstructs(start: Start, lifter: Lifter | None) -> str:
    if start == "image" or lifter is None:
        return f"--start {start}: no image network is installed; give --checkpoint FILE from a training run"
    return (
        "a hand without keypoints needs an image network, and none is installed; find keypoints with --detector auto, "
        "give them in --boxes, or give --checkpoint FILE from a training run"
    )
