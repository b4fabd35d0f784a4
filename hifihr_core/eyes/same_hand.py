"""When two sightings show one hand."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

#: Wrist and the bases of the fingers; two palms that are nearer than this, in sizes of the larger hand, are one.
_PALM = [0, 5, 9, 13, 17]
_ONE_PALM = 0.2
#: The outlines of two hands overlap by less than this (intersection over union) ...
_ONE_OUTLINE = 0.5
#: ... and a hand that is in a much larger one by more than this share of itself is a part of it.
_PART_SIZE, _PART_SHARE = 0.6, 0.6
#: A hand that is not certain is taken for a part of a better one from this share on, or if its middle is as near to the
#: outline of the other as this, in sizes of the other.
_UNCERTAIN_SHARE, _UNCERTAIN_NEAR = 0.35, 0.1


def each_once(
    joints_px: Float[np.ndarray, "N 21 2"],
    rank: Float[np.ndarray, " N"] | Sequence[float],
    certain: Bool[np.ndarray, " N"] | None = None,
) -> Int[np.ndarray, " M"]:
    """Return the numbers of the hands that neither repeat another one nor are part of it, the highest rank first.

    A hand that is not `certain` (all are, by default) must also keep clear of those of a higher rank.
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
    """Return whether `one_px` shows the hand of `other_px`, or a part of it."""
    sizes = _size(one_px), _size(other_px)
    apart = np.linalg.norm(one_px[_PALM].mean(axis=0) - other_px[_PALM].mean(axis=0))
    if apart < _ONE_PALM * max(sizes):
        return True
    if apart > 2 * max(sizes):
        return False
    both, area, other_area = _overlap(one_px, other_px)
    return both > _ONE_OUTLINE * (area + other_area - both) or _is_part(one_px, other_px)


def touches(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> bool:
    """Return whether `one_px` overlaps or touches `other_px` so much that it may be a part of that hand."""
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
    """Return the area that two outlines share, and the area of each."""
    one, other = (cv2.convexHull(points.astype(np.float32)) for points in (one_px, other_px))
    both, _ = cv2.intersectConvexConvex(one, other)
    return float(both), float(cv2.contourArea(one)), float(cv2.contourArea(other))
