"""Keypoints that a 2D detector found: OpenPose's files for whole datasets, and for single photos.

A file for many pictures is a JSON list `[peaks, values]` or `[peaks, values, names]`: N x 21 x 2 whole pixels (x, y),
N x 21 (x 1) confidences, N file names; (0, 0) with 0 where nothing was found. Whole pixels name a pixel, so half a
pixel is added to reach its centre.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import ijson
import numpy as np

from hifihr_core.data.raw import RawFile
from hifihr_core.errors import DataError
from hifihr_core.files import read_text, write_atomically, write_text
from hifihr_core.skeleton import NUM_JOINTS


@dataclass
class Detections:
    """Found keypoints by row; `rows` maps the name of a picture to its row, or is empty where the file has no names."""

    peaks: np.ndarray
    values: np.ndarray
    rows: Mapping[str, int]

    def labels(self, position: int, name: str) -> dict[str, np.ndarray]:
        """Return the two keypoint labels of a picture, by its name, else by its position; empty if it has none."""
        row = self.rows.get(name, -1) if self.rows else position
        if not 0 <= row < len(self.peaks):
            return {}
        return keypoint_labels(self.peaks[row], self.values[row])


def keypoint_labels(peaks: np.ndarray, values: np.ndarray, *, centre_px: float = 0.5) -> dict[str, np.ndarray]:
    """Return `keypoints_px` and `keypoints_confidence` of one hand; joints of no confidence stand at (0, 0)."""
    confidence = np.clip(np.asarray(values, np.float32).reshape(NUM_JOINTS), 0, 1)
    found = (confidence > 0)[:, None]
    points = np.where(found, np.asarray(peaks, np.float32).reshape(NUM_JOINTS, 2) + np.float32(centre_px), 0)
    return {"keypoints_px": points.astype(np.float32), "keypoints_confidence": confidence}


def stage_detections(file: RawFile, target: Path, *, rows: Sequence[int] = ()) -> Detections:
    """Parse an OpenPose file of a dataset into arrays beside `target`; finished arrays are only opened.

    Raises: DataError if it is no such file, or has neither names nor one of the lengths `rows` (if any).
    """
    peaks_path, names_path = target.with_suffix(".npy"), target.with_suffix(".names.json")
    if not (peaks_path.is_file() and names_path.is_file()):
        peaks, values, names = _parse(file)
        write_text(names_path, json.dumps(names))
        with write_atomically(peaks_path) as part, part.open("wb") as out:
            np.save(out, np.concatenate((peaks, values[..., None]), axis=-1))
    packed = np.load(peaks_path, mmap_mode="r")
    names = json.loads(read_text(names_path))
    if rows and not names and len(packed) not in rows:
        expected = " or ".join(f"{length:,}" for length in rows)
        raise DataError(f"{file.name}: {len(packed):,} entries without names, expected {expected}; detect again")
    return Detections(packed[..., :2], packed[..., 2], {name: row for row, name in enumerate(names)})


def _parse(file: RawFile) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return (peaks, values, base names) of a whole file, read one entry at a time.

    The three lists are told apart by what an entry holds: 42 numbers, 21 numbers, or a text.
    """
    numbers: dict[int, list[np.ndarray]] = {2 * NUM_JOINTS: [], NUM_JOINTS: []}
    names: list[str] = []
    try:
        with file.open() as stream:
            for entry in ijson.items(stream, "item.item", use_float=True):
                flat = np.asarray(entry).ravel()
                if flat.dtype.kind == "U":
                    names.append(PurePosixPath(str(flat[0])).name)
                else:
                    numbers[flat.size].append(flat.astype(np.float32))
    except (ijson.JSONError, KeyError, TypeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{file.name}: no list [peaks, values, names] of {NUM_JOINTS} joints each ({reason})"
        ) from error
    peaks, values = numbers[2 * NUM_JOINTS], numbers[NUM_JOINTS]
    if not peaks or len(peaks) != len(values) or (names and len(names) != len(peaks)):
        raise DataError(
            f"{file.name}: {len(peaks):,} peaks, {len(values):,} values, {len(names):,} names; detect again"
        )
    return np.stack(peaks).reshape(-1, NUM_JOINTS, 2), np.stack(values), names
