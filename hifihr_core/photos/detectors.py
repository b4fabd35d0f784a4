"""Where the hands are: an optional detector, boxes from the user, or the whole photo.

A detector is optional software; nothing here imports one before it is asked for. `side` is always the person's
anatomical side in an un-mirrored photo.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hifihr_core.assets.store import asset_path, is_installed
from hifihr_core.errors import DeviceError
from hifihr_core.records import Side

INSTALL_LINE = "pip install 'hifihr[detect]'"

#: MediaPipe loses hands that are small in the picture; these overlapping tilings (rows = columns) look closer.
TILINGS = (1, 2, 3)
_TILE_OVERLAP = 0.35
_SAME_HAND_OVERLAP = 0.5
#: Wrist and the bases of the fingers; and how near two palms can be, in sizes of the larger hand, before they are one.
_PALM = [0, 5, 9, 13, 17]
_ONE_PALM = 0.15
_DETECTION_INPUT_PX = 1280


@dataclass(frozen=True)
class Detection:
    """One hand in a photo, in pixels of the upright photo.

    `box_px` is (x0, y0, x1, y1). `side` is None where nobody told. `keypoints_px` is None without a detector; a
    keypoint's confidence is the detector's score of the hand where the detector gives none per joint.
    """

    box_px: Float[np.ndarray, "4"]
    score: float
    side: Side | None = None
    keypoints_px: Float[np.ndarray, "21 2"] | None = None
    keypoints_confidence: Float[np.ndarray, "21"] | None = None

    def resized(self, factor: float) -> "Detection":
        """Return the same hand in a photo that is `factor` times as large."""
        keypoints = None if self.keypoints_px is None else self.keypoints_px * factor
        return replace(self, box_px=self.box_px * factor, keypoints_px=keypoints)


Detector = Callable[[UInt8[np.ndarray, "H W 3"]], list[Detection]]


def whole_image(image: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
    """Take the whole photo as one hand of unknown side."""
    height, width = image.shape[:2]
    return [Detection(np.array([0.0, 0.0, width, height]), score=1.0)]


def mediapipe_hands(*, max_hands: int = 8, min_score: float = 0.5) -> Detector:
    """Return MediaPipe's hand detector: boxes, sides, scores and 21 keypoints in our joint order.

    Works with the legacy `solutions` interface (models inside the wheel, up to 0.10.21) and with the tasks interface of
    later releases, which needs the asset `hand-landmarker`. Raises DeviceError where neither is there.
    """
    if find_spec("mediapipe") is None:
        raise DeviceError(f"detector mediapipe: the package is not installed; {INSTALL_LINE}")
    import mediapipe

    if hasattr(mediapipe, "solutions"):
        look = _legacy_solution(max_hands, min_score)
    elif is_installed("hand-landmarker"):
        look = _landmarker_task(asset_path("hand-landmarker"), max_hands, min_score)
    else:
        raise DeviceError(
            f"detector mediapipe {mediapipe.__version__}: its model file is not installed; "
            "hifihr assets fetch hand-landmarker"
        )
    return lambda image: _look_closer(image, look, max_hands)


def available_detectors() -> list[str]:
    """Return the names of the detectors that can run here, best first."""
    return [name for name, is_there in _AVAILABLE.items() if is_there()]


def build_detector(name: str) -> Detector:
    """Return the detector `name`: one of `DETECTORS`, or `auto` for the best one that is installed, else `none`."""
    if name == "auto":
        name = (available_detectors() or ["none"])[0]
    if name not in DETECTORS:
        raise ValueError(f"detector {name!r} is not known; known detectors: auto, {', '.join(DETECTORS)}")
    return DETECTORS[name]()


def mirrored(detections: Sequence[Detection]) -> list[Detection]:
    """Exchange left and right: for a selfie whose file shows the person as in a mirror."""
    other: Mapping[Side | None, Side | None] = {"left": "right", "right": "left", None: None}
    return [replace(detection, side=other[detection.side]) for detection in detections]


_Raw = tuple[Float[np.ndarray, "21 2"], str, float]
_Look = Callable[[np.ndarray], list[_Raw]]


def _legacy_solution(max_hands: int, min_score: float) -> _Look:
    from mediapipe import solutions

    hands = solutions.hands.Hands(
        static_image_mode=True, max_num_hands=max_hands, min_detection_confidence=min_score, model_complexity=1
    )

    def look(tile: np.ndarray) -> list[_Raw]:
        result = hands.process(tile)
        found = zip(result.multi_hand_landmarks or (), result.multi_handedness or (), strict=True)
        # The legacy interface names sides as if the picture were a mirror's.
        sides = {"Left": "right", "Right": "left"}
        return [
            (_landmarks(marks.landmark, tile), sides[side.classification[0].label], side.classification[0].score)
            for marks, side in found
        ]

    return look


def _landmarker_task(model: Path, max_hands: int, min_score: float) -> _Look:
    import mediapipe
    from mediapipe.tasks import python as tasks

    options = tasks.vision.HandLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(model)),
        num_hands=max_hands,
        min_hand_detection_confidence=min_score,
    )
    landmarker = tasks.vision.HandLandmarker.create_from_options(options)

    def look(tile: np.ndarray) -> list[_Raw]:
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(tile))
        result = landmarker.detect(picture)
        sides = {"Left": "right", "Right": "left"}  # the same mirror convention as the legacy interface
        return [
            (_landmarks(marks, tile), sides[side[0].category_name], side[0].score)
            for marks, side in zip(result.hand_landmarks, result.handedness, strict=True)
        ]

    return look


def _landmarks(marks: Sequence, tile: np.ndarray) -> Float[np.ndarray, "21 2"]:
    height, width = tile.shape[:2]
    return np.array([(mark.x * width, mark.y * height) for mark in marks])


def _look_closer(image: np.ndarray, look: _Look, max_hands: int) -> list[Detection]:
    """Run a detector over the photo, then over its tiles, and keep each hand once.

    The coarser sighting of a hand wins, since a tile may have cut it; a finer one is kept where it shows another hand.
    """
    kept: list[Detection] = []
    for tiling in TILINGS:
        sightings = [sighting for tile in _tiles(image, tiling) for sighting in _look_at(image, *tile, look)]
        for sighting in sorted(sightings, key=lambda one: -one.score):
            if not any(_same_hand(sighting, other) for other in kept):
                kept.append(sighting)
    return sorted(kept, key=lambda one: -one.score)[:max_hands]


def _look_at(image: np.ndarray, x: int, y: int, tile: np.ndarray, look: _Look) -> list[Detection]:
    """Return the hands that a tile shows whole: one that reaches over a border inside the photo is another tile's."""
    scale = min(1.0, _DETECTION_INPUT_PX / max(tile.shape[:2]))
    small = cv2.resize(tile, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else tile
    factor = np.array([tile.shape[1] / small.shape[1], tile.shape[0] / small.shape[0]])
    corner, size = np.array([x, y]), np.array(tile.shape[1::-1])
    inner_low = np.where(corner > 0, corner, -np.inf)
    inner_high = np.where(corner + size < image.shape[1::-1], corner + size, np.inf)
    sightings = [_detection(keypoints * factor + corner, side, score) for keypoints, side, score in look(small)]
    return [
        one
        for one in sightings
        if (one.box_px[:2] > inner_low).all()
        and (one.box_px[2:] < inner_high).all()
        and min(one.box_px[2:] - one.box_px[:2]) >= 4  # a flat box is no hand
    ]


def _tiles(image: np.ndarray, tiling: int) -> list[tuple[int, int, np.ndarray]]:
    height, width = image.shape[:2]
    side = (int(height / (tiling - (tiling - 1) * _TILE_OVERLAP)), int(width / (tiling - (tiling - 1) * _TILE_OVERLAP)))
    starts = [np.linspace(0, full - part, tiling).astype(int) for full, part in zip((height, width), side, strict=True)]
    return [
        (x, y, np.ascontiguousarray(image[y : y + side[0], x : x + side[1]]))
        for y in starts[0].tolist()
        for x in starts[1].tolist()
    ]


def _detection(keypoints_px: Float[np.ndarray, "21 2"], side: str, score: float) -> Detection:
    low, high = keypoints_px.min(axis=0), keypoints_px.max(axis=0)
    return Detection(
        box_px=np.concatenate((low, high)),
        score=float(score),
        side="right" if side == "right" else "left",
        keypoints_px=keypoints_px,
        keypoints_confidence=np.full(21, float(score)),
    )


def _same_hand(a: Detection, b: Detection) -> bool:
    """Say whether two sightings show one hand: boxes that nest on one side, or nearly coincide on two.

    Clasped hands overlap with different sides, so a right hand inside the box of a left one is another hand, unless
    their palms stand in one place: two hands cannot.
    """
    intersection = box_area(
        np.concatenate((np.maximum(a.box_px[:2], b.box_px[:2]), np.minimum(a.box_px[2:], b.box_px[2:])))
    )
    areas = box_area(a.box_px), box_area(b.box_px)
    of_smaller = intersection / max(min(areas), 1e-9)
    of_larger = intersection / max(*areas, 1e-9)
    nested = of_smaller > _SAME_HAND_OVERLAP
    return nested if a.side == b.side or _one_palm(a, b) else of_larger > _SAME_HAND_OVERLAP


def _one_palm(a: Detection, b: Detection) -> bool:
    if a.keypoints_px is None or b.keypoints_px is None:
        return False
    apart = np.linalg.norm(a.keypoints_px[_PALM].mean(axis=0) - b.keypoints_px[_PALM].mean(axis=0))
    size = max(np.ptp(a.keypoints_px, axis=0).max(), np.ptp(b.keypoints_px, axis=0).max())
    return bool(apart < _ONE_PALM * size)


def box_area(box_px: Float[np.ndarray, "4"]) -> float:
    """Return the area of a box (x0, y0, x1, y1), square pixels; 0 for an empty one."""
    return float(np.prod(np.clip(box_px[2:] - box_px[:2], 0, None)))


DETECTORS: Mapping[str, Callable[[], Detector]] = MappingProxyType(
    {"mediapipe": mediapipe_hands, "none": lambda: whole_image}
)
_AVAILABLE: Mapping[str, Callable[[], bool]] = MappingProxyType(
    {"mediapipe": lambda: find_spec("mediapipe") is not None, "none": lambda: True}
)
