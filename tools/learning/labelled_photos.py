"""How well the start of `predict` fits the labelled joints of photos, given boxes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.crops import transform_points
from hifihr_core.hands import HandModel
from hifihr_core.lifting.fitting import fit_keypoints
from hifihr_core.lifting.hand_crops import Crops, cut_crops
from hifihr_core.lifting.hand_network import load_hand_network
from hifihr_core.lifting.lifter import Lifter, load_lifter
from hifihr_core.lifting.second_sight import SecondSight
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.models.shipped import LIFTER, shipped_model
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.reading import Photo, as_photo
from hifihr_core.photos.seen_hands import as_detection, shared_eyes
from hifihr_core.placed_hands import PlacedHands

NEAR = (0.05, 0.1)
_MARGIN = 0.1
#: Focal length of a photo that states none, as a multiple of its longer side.
_FOCAL = 1.0


@torch.no_grad()
def score_photos(
    hand: HandModel, folder: Path, network_path: Path | None, *, most: int | None
) -> dict[str, dict[str, float]]:
    """Return the PCK of the labelled joints at fractions of each hand's labelled box, and the mean error.

    Photos are labelled in the eyes' joint definition, so the hands' joints are converted to it for comparison.
    """
    lifter_path = shipped_model(LIFTER)
    assert lifter_path is not None
    lifter = load_lifter(lifter_path, hand)
    second = None if network_path is None else SecondSight(load_hand_network(network_path, hand), threads=1)
    entries = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    errors: dict[str, list[np.ndarray]] = {}
    for entry in entries[:: max(1, len(entries) // most) if most else 1]:
        photo = as_photo(folder / entry["file"])
        labels = [np.array(one["keypoints"], np.float64) for one in entry["hands"]]
        for name, found_px in _found(hand, photo, labels, lifter, second).items():
            errors.setdefault(name, []).extend(errors_of(found_px, labels))
    return {name: _summary(np.concatenate(rows)) for name, rows in errors.items()}


def _found(
    hand: HandModel, photo: Photo, labels: list[np.ndarray], lifter: Lifter, second: SecondSight | None
) -> dict[str, Float[np.ndarray, "N 21 2"]]:
    seen = shared_eyes().look(photo.image, np.stack([box_of(label) for label in labels]))
    detections = [as_detection(one).resized(tuple(1 / np.diag(photo.T_image_photo)[:2])) for one in seen]
    crops = _crops(photo, detections)
    lifted = lifter(crops.keypoints_px, crops.confidence, crops.K)
    fitted = fit_keypoints(hand, lifted, crops.keypoints_px, crops.confidence, crops.K)
    rows = {"lifter": lifted, "lifter, fit": fitted}
    sighted = None if second is None else second.look(photo, detections, crops)
    if second is not None and sighted is not None:
        rows["hand network"] = second.lift(sighted, crops)
        rows["hand network, fit"] = second.start(hand, sighted, crops)
    found = {name: _joints_px(hand, placed, crops) for name, placed in rows.items()}
    return {"the eyes": np.stack([one.keypoints_px for one in detections]), **found}


def _crops(photo: Photo, detections: list[Detection]) -> Crops:
    width, height = photo.size_px
    focal = _FOCAL * max(width, height)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return cut_crops(photo, detections, K, image_px=224)


def _joints_px(hand: HandModel, placed: PlacedHands, crops: Crops) -> Float[np.ndarray, "N 21 2"]:
    joints_cam = hand.joints_of(placed.parameters) + placed.root_cam[:, None]
    points = project(as_seen(joints_cam, hand.joint_definition), crops.K).double().numpy()
    back = np.linalg.inv(crops.T_crop_photo.double().numpy())
    return np.stack([transform_points(one, T) for one, T in zip(points, back, strict=True)])


def box_of(label: Float[np.ndarray, "21 3"]) -> Float[np.ndarray, "4"]:
    """Return the box around the labelled joints of a hand, with a margin, pixels."""
    points = label[label[:, 2] > 0, :2]
    margin = _MARGIN * np.ptp(points, axis=0).max()
    return np.concatenate((points.min(axis=0) - margin, points.max(axis=0) + margin))


def errors_of(found_px: np.ndarray, labels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the errors of the labelled joints of each hand, as fractions of the size of its labelled box."""
    rows = []
    for points, label in zip(found_px, labels, strict=True):
        known = label[:, 2] > 0
        size = np.ptp(label[known, :2], axis=0).max()
        rows.append(np.linalg.norm(points[known] - label[known, :2], axis=1) / size)
    return rows


def _summary(errors: np.ndarray) -> dict[str, float]:
    near = {f"PCK@{part}": float((errors < part).mean()) for part in NEAR}
    return {**near, "mean error": float(errors.mean()), "median": float(np.median(errors))}
