"""Collate samples: stacked labels, and the square of each picture that is seen."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.augmentation.draws import Squares
from hifihr_core.errors import DataError
from hifihr_core.geometry.crops import box_around, square_around
from hifihr_core.records import Sample


def collate_labels(samples: Sequence[Sample]) -> tuple[dict[str, Tensor], dict[str, Bool[Tensor, " B"]]]:
    """Stack the labels that any sample has; if a sample lacks one, its row is 0 and `present` is False.

    Raises: DataError if a label differs in size between samples (parameters of different hand models).
    """
    names = sorted({name for sample in samples for name in sample.labels})
    labels, present = {}, {}
    for name in names:
        having = [name in sample.labels for sample in samples]
        absent = np.zeros_like(samples[having.index(True)].labels[name])
        rows = [sample.labels.get(name, absent) for sample in samples]
        try:
            labels[name] = torch.from_numpy(np.stack(rows))
        except ValueError:
            raise _sizes_differ(name, rows, samples) from None
        present[name] = torch.tensor(having)
    return labels, present


def _sizes_differ(name: str, rows: Sequence[np.ndarray], samples: Sequence[Sample]) -> DataError:
    key, found = next(
        (sample.key, row.shape) for sample, row in zip(samples, rows, strict=True) if row.shape != rows[0].shape
    )
    return DataError(
        f"{key}: {name} has shape {found}, expected {rows[0].shape} as in the rest of the batch; "
        "datasets with parameters of different hand models cannot be mixed under this label"
    )


def find_squares(
    samples: Sequence[Sample], sizes: Sequence[tuple[int, int]], hand_scales: Sequence[float | None]
) -> Squares:
    """Return the square of each picture that the network sees; `sizes` are (width, height), pixels.

    If `hand_scales` is None, it is the whole picture. Otherwise it is the square around the hand's box, scaled by that
    number: the box given with the sample, or that of its joints, or of its detected keypoints, or else the whole
    picture.
    """
    squares = [_crop_of(*each) for each in zip(samples, sizes, hand_scales, strict=True)]
    return Squares(
        center_px=np.array([center for center, _ in squares], dtype=np.float64).reshape(-1, 2),
        side_px=np.array([side for _, side in squares], dtype=np.float64),
        width_px=np.array([width for width, _ in sizes], dtype=np.float64),
    )


def _crop_of(
    sample: Sample, size: tuple[int, int], hand_scale: float | None
) -> tuple[np.ndarray | tuple[float, float], float]:
    box = None if hand_scale is None else hand_box(sample)
    if box is None or not (box[2:] - box[:2]).max() > 1:
        return (size[0] / 2, size[1] / 2), float(max(size))
    return square_around(box.astype(np.float64), scale=hand_scale or 1.0)


def hand_box(sample: Sample) -> Float[np.ndarray, "4"] | None:
    """Return the box x0, y0, x1, y1 given with a sample, or that of its joints or detected keypoints, or None."""
    labels = sample.labels
    if "box_px" in labels:
        return labels["box_px"]
    if "joints_px" in labels:
        return box_around(labels["joints_px"])
    found = labels["keypoints_confidence"] > 0 if "keypoints_confidence" in labels else np.zeros(1, bool)
    return box_around(labels["keypoints_px"][found]) if found.any() else None
