"""The keys of a hand in a file: ours, and those of HaMeR, WiLoR, MediaPipe and COCO."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hifihr_core.photos.detections import box_from_xywh
from hifihr_core.records import Side
from hifihr_core.skeleton import NUM_JOINTS


@dataclass
class HandEntry:
    """A hand whose keys are being read; `keypoints` is 21 x (u, v, confidence)."""

    box_px: np.ndarray | None = None
    side: Side | None = None
    keypoints: np.ndarray | None = None
    score: float = 1.0
    K: np.ndarray | None = None


class WrongForm(ValueError):
    """A value in the wrong form; the text is the correct form, which follows "expected" in the message."""


# Parsers of single values.


def _read_xywh(hand: HandEntry, value: Any) -> None:
    x, y, width, height = numbers(value, (4,), "[x, y, width, height], pixels")
    if not (width > 0 and height > 0):
        raise WrongForm("[x, y, width, height] with a positive width and height")
    hand.box_px = box_from_xywh((x, y, width, height))


def _read_corners(hand: HandEntry, value: Any) -> None:
    box = numbers(value, (4,), "[x0, y0, x1, y1], pixels")
    if not (box[2:] > box[:2]).all():
        raise WrongForm("[x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    hand.box_px = box


def _read_side(hand: HandEntry, value: Any) -> None:
    hand.side = _SIDES[_sided(value)]


def _read_is_right(hand: HandEntry, value: Any) -> None:
    """Read HaMeR's `right` or WiLoR's `is_right`: 1 or 0, also as a float or a Boolean."""
    number = float(np.asarray(value, np.float64).reshape(()))
    if number not in (0.0, 1.0):
        raise WrongForm("1 for a right hand, 0 for a left one")
    hand.side = "right" if number == 1 else "left"


def _read_handedness(hand: HandEntry, value: Any) -> None:
    """Read an anatomical side; MediaPipe's own records treat every picture as mirrored, so theirs is swapped."""
    if isinstance(value, str):
        hand.side = _SIDES[_sided(value)]
        return
    record = value[0] if isinstance(value, list) else value
    record = record["classification"][0] if "classification" in record else record
    word = record.get("category_name", record.get("categoryName", record.get("label")))
    hand.side = "left" if _SIDES[_sided(word)] == "right" else "right"


def _sided(value: Any) -> str:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _SIDES:
        raise WrongForm("'left' or 'right'")
    return word


_SIDES: Mapping[str, Side] = {"left": "left", "right": "right", "l": "left", "r": "right"}


def _read_keypoints(hand: HandEntry, value: Any) -> None:
    """Read 21 rows of (u, v, confidence) or (u, v), or of {"x": ..., "y": ..., "confidence": ...}."""
    expected = "21 x (u, v, confidence), pixels"
    rows = [_keypoint(row) if isinstance(row, Mapping) else row for row in value]
    array = np.asarray(rows, np.float64)
    if array.shape == (NUM_JOINTS, 2):
        array = np.concatenate((array, np.ones((NUM_JOINTS, 1))), axis=1)
    if array.shape != (NUM_JOINTS, 3) or not np.isfinite(array[:, 2]).all():
        raise WrongForm(expected)
    if not np.isfinite(array[array[:, 2] > 0]).all():
        raise WrongForm(f"{expected}, finite where a keypoint was found")
    hand.keypoints = array


def _keypoint(row: Mapping[str, Any]) -> tuple[float, float, float]:
    return float(row["x"]), float(row["y"]), float(row.get("confidence", row.get("score", 1.0)))


def _read_score(hand: HandEntry, value: Any) -> None:
    score = float(value)
    if not 0 <= score <= 1:
        raise WrongForm("a number from 0 to 1")
    hand.score = score


def _read_K(hand: HandEntry, value: Any) -> None:
    K = numbers(value, (3, 3), "3 x 3 numbers, pixels")
    if not (K[0, 0] > 0 and K[1, 1] > 0 and np.allclose(K[2], (0, 0, 1))):
        raise WrongForm("[[fx, s, cx], [0, fy, cy], [0, 0, 1]], pixels")
    hand.K = K


def _read_nothing(hand: HandEntry, value: Any) -> None:
    """Ignore a key, of a result or from another program, that does not affect where the hand is in the photo."""


_Reader = Callable[[HandEntry, Any], None]

#: The documented keys; `KEYS` has every accepted one.
MAIN_KEYS: Mapping[str, _Reader] = {
    "box": _read_xywh,
    "side": _read_side,
    "keypoints": _read_keypoints,
    "score": _read_score,
    "K": _read_K,
}
KEYS: Mapping[str, _Reader] = {
    **MAIN_KEYS,
    **dict.fromkeys(("bbox", "box_xywh", "bbox_xywh"), _read_xywh),  # COCO's form
    **dict.fromkeys(("box_xyxy", "bbox_xyxy", "hand_bbox"), _read_corners),  # the last is WiLoR's
    **dict.fromkeys(("is_right", "right"), _read_is_right),  # WiLoR, HaMeR
    "handedness": _read_handedness,  # MediaPipe
    "hand_side": _read_side,
    **dict.fromkeys(("landmarks", "hand_landmarks", "keypoints_2d", "joints_2d"), _read_keypoints),
    "confidence": _read_score,
    # Other keys in our results and in those of other programs.
    **dict.fromkeys(
        ("metric", "joints_px", "joints_cam", "report", "hand", "parameters", "light", "conventions", "licences"),
        _read_nothing,
    ),
    **dict.fromkeys(
        ("photo", "hifihr", "files", "notes", "mano", "doubtful", "joint_confidence", "keypoints_px", "before"),
        _read_nothing,
    ),
    **dict.fromkeys(("world_landmarks", "personid", "wilor_preds", "id"), _read_nothing),
}


def numbers(value: Any, shape: tuple[int, ...], expected: str) -> np.ndarray:
    """Return an array of finite numbers. Raises: WrongForm(expected) for another shape or other values."""
    array = np.asarray(value, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise WrongForm(expected)
    return array


def reason(error: Exception) -> str:
    """Return what a parser expected: the text of its error, or a general one if numpy or Python raised the error."""
    return str(error) if isinstance(error, WrongForm) else "the documented form; see docs/prediction.md"
