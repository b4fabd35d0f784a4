"""Keypoints from a 2D detector: OpenPose's files for whole datasets and for single photos.

A file for N pictures is a JSON list `[peaks, values]` or `[peaks, values, names]`: N lists of 21 integer pixels (x, y),
N lists of 21 confidences, and N file names. A joint that was not found is (0, 0) with confidence 0. The integers are
indices of pixels, so half a pixel is added to reach the centre. OpenPose's own file for one picture lists `people`,
each with 63 numbers (x, y, confidence) per hand. Our own format is that of `hifihr_core.photos.hand_files`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import write_text
from hifihr_core.outside.json_lists import iterate_entries
from hifihr_core.outside.json_text import read_json
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.hand_files import parse_hands
from hifihr_core.samples import Side
from hifihr_core.skeleton import NUM_JOINTS
from hifihr_core.sources.raw.raw_tree import RawFile
from hifihr_core.sources.raw.rows import Rows, write_rows

KEYPOINTS_NAME = "keypoints.json"
_EXPECTED = "expected 21 x (x, y, confidence); run the detector again"


@dataclass
class Detections:
    """Detected keypoints: row i of `found` has those of picture i, and `names` maps picture names to rows, if known."""

    found: Rows
    names: Mapping[str, int]

    def labels(self, position: int, name: str) -> dict[str, np.ndarray]:
        """Return the two keypoint labels of a picture, or no labels if it has none.

        It is looked up by `name`, or by `position` if there are no names.
        """
        row = self.names.get(name, -1) if self.names else position
        if not 0 <= row < len(self.found):
            return {}
        numbers = self.found[row]
        return keypoint_labels(numbers[:, :2], numbers[:, 2])


def keypoint_labels(peaks: np.ndarray, values: np.ndarray, *, centre_px: float = 0.5) -> dict[str, np.ndarray]:
    """Return `keypoints_px` and `keypoints_confidence` of one hand; joints without confidence are at (0, 0).

    `centre_px` is added to `peaks`: 0.5 if they are indices of pixels.
    """
    confidence = np.clip(np.asarray(values, np.float32).reshape(NUM_JOINTS), 0, 1)
    found = (confidence > 0)[:, None]
    points = np.where(found, np.asarray(peaks, np.float32).reshape(NUM_JOINTS, 2) + np.float32(centre_px), 0)
    return {"keypoints_px": points.astype(np.float32), "keypoints_confidence": confidence}


def stage_detections(file: RawFile, target: Path, *, rows: Sequence[int] = ()) -> Detections:
    """Parse an OpenPose file for a dataset into arrays beside `target`; arrays that already exist are only opened.

    Raises: DataError for any other file, or if it has no names and its length is none of `rows` (if given).
    """
    peaks_path, names_path = target.with_suffix(".npy"), target.with_suffix(".names.json")
    if not (peaks_path.is_file() and names_path.is_file()):
        peaks, values, names = _parse(file)
        write_text(names_path, json.dumps(names))
        with write_rows(peaks_path, (NUM_JOINTS, 3)) as append:
            append(np.concatenate((peaks, values[..., None]), axis=-1))
    packed = Rows(peaks_path)
    names = read_json(names_path, most_bytes=1 << 30, remedy=f"delete {target.parent} and run again")
    if rows and not names and len(packed) not in rows:
        expected = " or ".join(f"{length:,}" for length in rows)
        raise DataError(
            f"{file.name}: {len(packed):,} entries without names, expected {expected}; run the detector again"
        )
    return Detections(packed, {name: row for row, name in enumerate(names)})


def _parse(file: RawFile) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return (peaks, values, base names) of a file, which is read one entry at a time.

    The three lists are distinguished by their entries: 42 numbers, 21 numbers, or a string.
    """
    numbers: dict[int, list[np.ndarray]] = {2 * NUM_JOINTS: [], NUM_JOINTS: []}
    names: list[str] = []
    try:
        with file.open() as stream:
            for entry in iterate_entries(stream, file.name, level=2):
                flat = np.asarray(entry.parse()).ravel()
                if flat.dtype.kind == "U":
                    names.append(PurePosixPath(str(flat[0])).name)
                elif flat.size in numbers:
                    numbers[flat.size].append(flat.astype(np.float32))
                else:
                    raise ValueError(f"number of values in an entry: {flat.size}")
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{file.name}: not OpenPose keypoints ({reason}), expected a list [peaks, values, names] with "
            f"{NUM_JOINTS} joints in each entry; run the detector again"
        ) from error
    peaks, values = numbers[2 * NUM_JOINTS], numbers[NUM_JOINTS]
    if not peaks or len(peaks) != len(values) or (names and len(names) != len(peaks)):
        raise DataError(
            f"{file.name}: number of peaks {len(peaks):,}, of values {len(values):,}, of names {len(names):,}; "
            "expected equal numbers of at least 1 (or no names); run the detector again"
        )
    return np.stack(peaks).reshape(-1, NUM_JOINTS, 2), np.stack(values), names


def read_keypoint_file(path: Path) -> dict[str, tuple[Detection, ...]]:
    """Return the hands of every picture in a file, in our format (`hand_files`) or OpenPose's `[peaks, values, names]`.

    Raises: DataError for any other file, or OpenPose's list without names.
    """
    content = read_json(path, most_bytes=1 << 30)
    if not isinstance(content, list):
        return parse_hands(content, str(path))
    peaks, values, names = _parse(RawFile(path))
    if not names:
        raise DataError(
            f"{path}: OpenPose keypoints without file names, expected a third list of names; run the detector again"
        )
    rows = np.concatenate((peaks + np.float32(0.5), values.reshape(-1, NUM_JOINTS, 1)), axis=2)
    return {name: tuple(_detected(str(path), hand, "right")) for name, hand in zip(names, rows, strict=True)}


def read_openpose_photo(photo: Path) -> tuple[Detection, ...]:
    """Return the hands in OpenPose's file beside a photo; empty without one. Raises: DataError if it is broken."""
    path = photo.with_name(f"{photo.stem}_keypoints.json")
    if not path.is_file():
        return ()
    content = read_json(path, most_bytes=1 << 30)
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise DataError(f"{path}: has no list of people, expected a file from OpenPose; run the detector again")
    sides: tuple[Side, ...] = ("right", "left")
    found = [(side, row) for person in people for side in sides if (row := person.get(f"hand_{side}_keypoints_2d"))]
    return tuple(hand for side, row in found for hand in _detected(str(path), row, side))


def _detected(name: str, numbers: Any, side: Side) -> Iterator[Detection]:
    """Yield the hand in OpenPose's 63 numbers, or nothing if no hand was found. Confidences may slightly exceed 1.

    Raises: DataError for a wrong number of values, or non-finite ones.
    """
    try:
        rows = np.asarray(numbers, np.float64).reshape(NUM_JOINTS, 3)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: hand keypoints have the wrong shape or are not numbers, {_EXPECTED}") from error
    if not np.isfinite(rows).all():
        raise DataError(f"{name}: hand keypoints are not finite, {_EXPECTED}")
    rows = np.concatenate((rows[:, :2], rows[:, 2:].clip(0, 1)), axis=1)
    if (rows[:, 2] > 0).any():
        yield from parse_hands({name: [{"keypoints": rows.tolist(), "side": side}]}, name)[name]
