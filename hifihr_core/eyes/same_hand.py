"""Decide whether two sightings show the same hand."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

#: The wrist and the finger bases; two palms closer than this, in sizes of the larger hand, are the same.
_PALM = [0, 5, 9, 13, 17]
_ONE_PALM = 0.2
#: The outlines of different hands overlap by less than this (intersection over union) ...
_ONE_OUTLINE = 0.5
#: ... and a hand with more than this fraction of its area inside a much larger one is a part of that one.
_PART_SIZE, _PART_SHARE = 0.6, 0.6
#: An uncertain hand counts as part of a better one from this fraction on, or if its centre is this close to the other's
#: outline, in sizes of the other.
_UNCERTAIN_SHARE, _UNCERTAIN_NEAR = 0.35, 0.1


def each_once(
    joints_px: Float[np.ndarray, "N 21 2"],
    rank: Float[np.ndarray, " N"] | Sequence[float],
    certain: Bool[np.ndarray, " N"] | None = None,
) -> Int[np.ndarray, " M"]:
    """Return the indices of the hands that are neither duplicates nor parts of another hand, highest rank first.

    A hand that is not `certain` is also left out if it touches one of a higher rank; by default all hands are certain.
    """
    certain = np.ones(len(joints_px), dtype=bool) if certain is None else certain
    kept: list[int] = []
    for number in np.argsort(-np.asarray(rank), kind="stable").tolist():
        others = [joints_px[other] for other in kept]
        if any(is_repetition(joints_px[number], other) for other in others):
            continue
        if not certain[number] and any(touches(joints_px[number], other) for other in others):
            continue
        kept = [other for other in kept if not _is_part(joints_px[other], joints_px[number])]
        kept.append(number)
    return np.array(kept, dtype=int)


def is_repetition(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> bool:
    """Return whether `one_px` shows the same hand as `other_px`, or a part of it."""
    sizes = _size(one_px), _size(other_px)
    apart = np.linalg.norm(one_px[_PALM].mean(axis=0) - other_px[_PALM].mean(axis=0))
    if apart < _ONE_PALM * max(sizes):
        return True
    if apart > 2 * max(sizes):
        return False
    both, area, other_area = _overlap(one_px, other_px)
    return both > _ONE_OUTLINE * (area + other_area - both) or _is_part(one_px, other_px)


def touches(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> bool:
    """Return whether `one_px` overlaps or nearly touches `other_px`, so that it may be a part of that hand."""
    both, area, _ = _overlap(one_px, other_px)
    middle = tuple(one_px.mean(axis=0).tolist())
    inside_px = cv2.pointPolygonTest(cv2.convexHull(other_px.astype(np.float32)), middle, True)
    return both > _UNCERTAIN_SHARE * area or inside_px > -_UNCERTAIN_NEAR * _size(other_px)


def _is_part(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> bool:
    if _size(one_px) > _PART_SIZE * _size(other_px):
        return False
    both, area, _ = _overlap(one_px, other_px)
    return bool(both > _PART_SHARE * area)


def _size(joints_px: Float[np.ndarray, "21 2"]) -> float:
    return float(np.ptp(joints_px, axis=0).max())


def _overlap(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> tuple[float, float, float]:
    """Return the common area of two outlines, and the area of each."""
    one, other = (cv2.convexHull(points.astype(np.float32)) for points in (one_px, other_px))
    both, _ = cv2.intersectConvexConvex(one, other)
    return float(both), float(cv2.contourArea(one)), float(cv2.contourArea(other))
