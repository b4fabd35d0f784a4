"""When two sightings show one hand."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int

#: Wrist and the bases of the fingers; two palms that are nearer than this, in sizes of the larger hand, are one.
_PALM = [0, 5, 9, 13, 17]
_ONE_PALM = 0.2
#: The outlines of two hands can overlap by less than this (intersection over union) ...
_ONE_OUTLINE = 0.5
#: ... and a hand that lies in a much larger one by more than this share of itself is a part of it.
_PART_SIZE, _PART_SHARE = 0.6, 0.6


def each_once(
    joints_px: Float[np.ndarray, "N 21 2"], score: Float[np.ndarray, " N"] | Sequence[float]
) -> Int[np.ndarray, " M"]:
    """Return the numbers of the hands that are no repetition and no part of another one, the best first."""
    kept: list[int] = []
    for number in np.argsort(-np.asarray(score), kind="stable").tolist():
        if not any(is_repetition(joints_px[number], joints_px[other]) for other in kept):
            kept = [other for other in kept if not _is_part(joints_px[other], joints_px[number])]
            kept.append(number)
    return np.array(kept, dtype=int)


def is_repetition(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> bool:
    """Say whether `one_px` shows the hand of `other_px`, or a part of it."""
    sizes = np.ptp(one_px, axis=0).max(), np.ptp(other_px, axis=0).max()
    apart = np.linalg.norm(one_px[_PALM].mean(axis=0) - other_px[_PALM].mean(axis=0))
    if apart < _ONE_PALM * max(sizes):
        return True
    if apart > 2 * max(sizes):
        return False
    both, area, other_area = _overlap(one_px, other_px)
    return both > _ONE_OUTLINE * (area + other_area - both) or _is_part(one_px, other_px)


def _is_part(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> bool:
    if np.ptp(one_px, axis=0).max() > _PART_SIZE * np.ptp(other_px, axis=0).max():
        return False
    both, area, _ = _overlap(one_px, other_px)
    return bool(both > _PART_SHARE * area)


def _overlap(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> tuple[float, float, float]:
    """Return the area that two outlines share, and the area of each."""
    outlines = [cv2.convexHull(points.astype(np.float32)) for points in (one_px, other_px)]
    both, _ = cv2.intersectConvexConvex(*outlines)
    return float(both), float(cv2.contourArea(outlines[0])), float(cv2.contourArea(outlines[1]))
