"""Find the square of each picture that the network sees."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from hifihr_core.augmentation.draws import Squares
from hifihr_core.geometry.crops import box_around, square_around
from hifihr_core.sample_batches import SampleBatch


def find_squares(
    samples: SampleBatch, sizes: Sequence[tuple[int, int]], hand_scales: Sequence[float | None]
) -> Squares:
    """Return the square of each picture that the network sees; `sizes` are (width, height), pixels.

    It is the square around the hand's box (see `hand_box`), enlarged by the sample's hand scale. If the scale is None,
    or there is no box, it is the square around the whole picture.
    """
    size_px = np.array(sizes, dtype=np.float64).reshape(-1, 2)
    center_px, side_px = size_px / 2, size_px.max(axis=1)
    for b, hand_scale in enumerate(hand_scales):
        box = None if hand_scale is None else hand_box(samples.labels_of(b))
        if box is not None and (box[2:] - box[:2]).max() > 1:
            center_px[b], side_px[b] = square_around(box.astype(np.float64), scale=hand_scale or 1.0)
    return Squares(center_px=center_px, side_px=side_px, width_px=size_px[:, 0].copy())


def hand_box(labels: Mapping[str, np.ndarray]) -> Float[np.ndarray, "4"] | None:
    """Return the box x0, y0, x1, y1 in a sample's labels, or else that of its joints or detected keypoints; or None."""
    if "box_px" in labels:
        return labels["box_px"]
    if "joints_px" in labels:
        return box_around(labels["joints_px"])
    found = labels["keypoints_confidence"] > 0 if "keypoints_confidence" in labels else np.zeros(1, bool)
    return box_around(labels["keypoints_px"][found]) if found.any() else None
