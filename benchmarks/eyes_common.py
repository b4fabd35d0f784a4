"""Shared by the benchmarks of the eyes: labelled folders, hands found by us or by another program, and matching.

A folder of photos has either `annotations.json` ([{"file", "hands": [{"keypoints": [[x, y, v] * 21], "side"}]}], our
joint order, v = 0 for a joint that is not labelled) or `index.json` ([{"file", "boxes": [[x, y, width, height]]}]).
Another program's hands are JSON: {"a.jpg": [{"joints": [[x, y] * 21], "side": "left"}]}, as `official_hands.py` writes
it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from hifihr_core.eyes import Eyes, SeenHand

#: Boxes with at least this overlap (intersection over union) are the same hand.
SAME_BOX = 0.2


@dataclass(frozen=True)
class Found:
    """One hand that was found: joints in pixels, and its anatomical side."""

    joints_px: np.ndarray
    side: str
    score: float = 1.0


@dataclass(frozen=True)
class Labelled:
    """One labelled hand: keypoints (x, y, v) and side, or a box x0, y0, x1, y1."""

    keypoints: np.ndarray | None
    side: str | None
    box_px: np.ndarray


def read_photo(path: Path) -> np.ndarray:
    """Return an RGB photo."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def read_labels(folder: Path) -> dict[str, list[Labelled]]:
    """Return the labelled hands of each labelled photo."""
    if (folder / "annotations.json").is_file():
        rows = json.loads((folder / "annotations.json").read_text())
        return {row["file"]: [_with_keypoints(hand) for hand in row["hands"]] for row in rows}
    rows = json.loads((folder / "index.json").read_text())
    return {row["file"]: [_with_box(box) for box in row["boxes"]] for row in rows if row.get("boxes") is not None}


def _with_keypoints(hand: dict) -> Labelled:
    keypoints = np.array(hand["keypoints"], dtype=float)
    seen = keypoints[keypoints[:, 2] > 0, :2]
    return Labelled(keypoints, hand["side"], np.concatenate((seen.min(axis=0), seen.max(axis=0))))


def _with_box(box: list[float]) -> Labelled:
    x, y, width, height = box
    return Labelled(None, None, np.array([x, y, x + width, y + height]))


def our_hands(eyes: Eyes, path: Path, effort: str) -> list[Found]:
    """Return the hands that the eyes find in a photo."""
    return [our_hand(hand) for hand in eyes.find(read_photo(path), effort)]


def our_hand(hand: SeenHand) -> Found:
    """Return a hand that the eyes saw in the form of the benchmarks."""
    return Found(hand.joints_px, hand.side, hand.score)


def read_hands(path: Path) -> dict[str, list[Found]]:
    """Return the hands that another program found in each photo."""
    document = json.loads(path.read_text())
    return {name: [Found(np.array(one["joints"]), one["side"]) for one in hands] for name, hands in document.items()}


def matched(found: list[Found], labelled: list[Labelled]) -> list[tuple[int, int]]:
    """Return pairs (index of found hand, index of labelled hand) whose boxes overlap enough, best pairs first."""
    overlap = np.array([[_overlap(box_of(one), label.box_px) for label in labelled] for one in found])
    if not overlap.size:
        return []
    rows, columns = linear_sum_assignment(-overlap)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if overlap[i, j] > SAME_BOX]


def box_of(hand: Found) -> np.ndarray:
    """Return the box around the joints."""
    return np.concatenate((hand.joints_px.min(axis=0), hand.joints_px.max(axis=0)))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    both = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both))
