"""The file format for hands in photos, read by `predict --boxes` and `prepare images`, and written by `predict`.

    {"photo.jpg": [{"box": [x, y, width, height], "side": "left", "keypoints": [[u, v, confidence] x 21], "K": 3 x 3}]}

Pixels are those of the upright full-size photo, with the corner of the first pixel at (0, 0). A hand needs a box or
keypoints; the rest is optional. A result of `predict` (one hand, or the `--json` document) is also such a file. Keys of
HaMeR, WiLoR and MediaPipe are accepted too (see `hand_keys`); any other key is an error.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.geometry.crops import box_around
from hifihr_core.outside.json_text import read_json
from hifihr_core.photos.detections import MIN_BOX_PX, Detection
from hifihr_core.photos.hand_keys import KEYS, MAIN_KEYS, HandEntry, numbers, reason
from hifihr_core.skeleton import JOINT_NAMES

_FORM = '{"photo.jpg": [{"box": [x, y, width, height], "side": "right"}]}'

Hands = dict[str, tuple[Detection, ...]]


def read_hand_file(path: Path) -> Hands:
    """Return the hands of every photo in a file.

    Raises: DataError for a file that is missing or in another format; the message names photo, hand and key.
    """
    return parse_hands(read_json(path, remedy="see docs/prediction.md"), str(path))


def parse_hands(document: Any, name: str) -> Hands:
    """Return the hands of a parsed file called `name`. Raises: DataError if it has another format."""
    if not isinstance(document, Mapping):
        raise DataError(f"{name}: its JSON has type {type(document).__name__}, expected {_FORM}")
    return {photo: _hands(f"{name}: {photo}", hands) for photo, hands in _photos(document, name).items()}


def _photos(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return entries by photo, from our format, from `--json` or `hands.json`, or from the result of one hand."""
    entries = document.get("images", document.get("photos"))
    if isinstance(entries, list) and all(isinstance(one, Mapping) and "path" in one for one in entries):
        return {str(one["path"]): one.get("hands", []) for one in entries}
    if "parameters" in document and "joints_px" in document:
        if not isinstance(document.get("photo"), str):
            raise DataError(
                f"{name}: does not name its photo, expected a result that does; "
                "predict the photo from a file, not an array"
            )
        return {document["photo"]: [document]}
    return document


def _hands(name: str, hands: Any) -> tuple[Detection, ...]:
    entries = hands if isinstance(hands, list) else [hands]
    return tuple(_hand(f"{name}, hand {number}", entry) for number, entry in enumerate(entries))


def _hand(name: str, entry: Any) -> Detection:
    if not isinstance(entry, Mapping):
        raise DataError(f"{name}: is {_short(entry)}, expected {_FORM}")
    if "box_center" in entry or "box_size" in entry:
        entry = _joined(name, entry)
    hand = HandEntry()
    for key, value in entry.items():
        if key not in KEYS:
            close = get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(MAIN_KEYS)}"
            raise DataError(f"{name}: unknown key {key!r}; {hint}")
        try:
            if value is not None:
                KEYS[key](hand, value)
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise DataError(f"{name}: {key} is {_short(value)}, expected {reason(error)}") from error
    if entry.get("metric") is False:
        hand.K = None  # the assumed camera of a result must not become a known one
    return _detection(name, hand)


def _detection(name: str, hand: HandEntry) -> Detection:
    points, confidence = (None, None) if hand.keypoints is None else (hand.keypoints[:, :2], hand.keypoints[:, 2])
    if confidence is not None and (confidence > 1).any():
        joint = int(confidence.argmax())
        raise DataError(
            f"{name}: confidence {confidence[joint]:g} of keypoint {joint} ({JOINT_NAMES[joint]}) is above 1, expected "
            "0 to 1; divide percentages by 100, or leave out the number if it is a depth"
        )
    found = None if confidence is None else confidence > 0
    box = hand.box_px
    if box is None:
        if points is None or found is None or not found.any():
            raise DataError(f"{name}: has neither a box nor a keypoint with a confidence above 0, expected {_FORM}")
        around = box_around(points[found])
        half = np.maximum(around[2:] - around[:2], MIN_BOX_PX) / 2
        middle = (around[:2] + around[2:]) / 2
        box = np.concatenate((middle - half, middle + half))
    if points is not None and confidence is not None and found is not None:
        points, confidence = np.where(found[:, None], points, 0.0), np.where(found, confidence, 0.0)
    try:
        return Detection(box, hand.score, hand.side, points, confidence, hand.K)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{name}: {error}") from error


def _joined(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Convert HaMeR's `box_center` and `box_size` in an entry to one box."""
    rest = {key: value for key, value in entry.items() if key not in ("box_center", "box_size")}
    try:
        center = numbers(entry.get("box_center"), (2,), "[x, y]")
        size = np.broadcast_to(np.asarray(entry.get("box_size"), np.float64), (2,))
    except (TypeError, ValueError):
        center, size = np.zeros(2), np.zeros(2)
    if not (size > 0).all():
        found = f"box_center is {_short(entry.get('box_center'))} and box_size {_short(entry.get('box_size'))}"
        raise DataError(f"{name}: {found}, expected [x, y] and a positive side, pixels")
    return {**rest, "box_xywh": [*(center - size / 2).tolist(), *size.tolist()]}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
