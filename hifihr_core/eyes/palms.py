"""Turn the palm detector's output into palms in the photo: anchors, scores, weighted non-maximum suppression."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from jaxtyping import Float

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.networks import ANCHOR_GRIDS, PALM_PX
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, about_palms, joined
from hifihr_core.geometry.crops import transform_points

_ONE_PALM_IOU = 0.3
#: Maximum number of candidates per view before suppression, which bounds the time for pictures full of hands.
_MAX_PER_VIEW = 200
_VIEWS_AT_ONCE = 8


@dataclass(frozen=True)
class Palms:
    """N palms in a photo: for each, the region of its hand, and the detector's score in [0, 1]."""

    regions: Regions
    score: Float[np.ndarray, " N"]


def find_palms(engine: Engine, pyramid: Pyramid, views: Regions, *, min_score: float) -> Palms:
    """Return the palms in `views`, square parts of a photo; a palm that two views show appears twice."""
    found = []
    for start in range(0, len(views), _VIEWS_AT_ONCE):
        some = views[start : start + _VIEWS_AT_ONCE]
        palms, logits = engine(pyramid.cut(some, PALM_PX, border=cv2.BORDER_CONSTANT))
        for T_view_photo, numbers, logit in zip(some.transforms(PALM_PX), palms, logits, strict=True):
            found.append(_in_photo(*suppressed(numbers, logit[:, 0], min_score=min_score), T_view_photo))
    return join_palms(found)


def join_palms(parts: Sequence[Palms]) -> Palms:
    """Concatenate palms."""
    if not parts:
        return Palms(joined([]), np.zeros(0))
    return Palms(joined([one.regions for one in parts]), np.concatenate([one.score for one in parts]))


@contextmanager
def palms_ahead(
    engine: Engine, pyramid: Pyramid, views: Sequence[Regions], *, min_score: float
) -> Iterator[Callable[[int], Palms]]:
    """Yield a function that returns the palms in ``views[number]``; it must be called with 0, 1, 2, ... in this order.

    If the engine may use more than one core, later views are searched in the background.
    """
    find = partial(find_palms, engine, pyramid, min_score=min_score)
    if engine.threads < 2 or len(views) < 2:
        yield lambda number: find(views[number])
        return
    with ThreadPoolExecutor(1) as pool:
        later = [[pool.submit(find, some[i : i + 1]) for i in range(len(some))] for some in views[1:]]

        def found(number: int) -> Palms:
            if number == 0:
                return find(views[0])
            ahead = later[number - 1]
            begun = len(ahead)
            while begun and ahead[begun - 1].cancel():  # from the last one: the other thread goes on from the first
                begun -= 1
            rest = find(views[number][begun:])  # on all cores
            return join_palms([*(one.result() for one in ahead[:begun]), rest])

        try:
            yield found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def anchors_px() -> Float[np.ndarray, "A 2"]:
    """Return the centre of every anchor in pixels of a view, in the order of the network's output."""
    centers = []
    for cells, per_cell in ANCHOR_GRIDS:
        row, column = np.divmod(np.repeat(np.arange(cells * cells), per_cell), cells)
        centers.append((np.stack((column, row), axis=-1) + 0.5) * PALM_PX / cells)
    return np.concatenate(centers)


def suppressed(
    numbers: Float[np.ndarray, "A 18"], logits: Float[np.ndarray, " A"], *, min_score: float
) -> tuple[Float[np.ndarray, "N 9 2"], Float[np.ndarray, " N"]]:
    """Return the palms in one view, best first, and their scores.

    A palm is centre, size and seven points, in pixels of the view. `numbers` and `logits` are the network's outputs.
    Overlapping candidates are averaged, weighted by score; the mean gets the best of their scores.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
    order = np.argsort(-scores, kind="stable")[:_MAX_PER_VIEW]
    order = order[scores[order] >= min_score]
    palms = numbers[order].astype(np.float64).reshape(-1, 9, 2)
    palms[:, [0, *range(2, 9)]] += anchors_px()[order][:, None]
    scores, kept, kept_scores = scores[order], [], []
    while len(scores):
        same = _overlap(palms[0], palms) > _ONE_PALM_IOU
        same[0] = True
        kept.append(np.average(palms[same], axis=0, weights=scores[same]))
        kept_scores.append(scores[0])
        palms, scores = palms[~same], scores[~same]
    return np.array(kept).reshape(-1, 9, 2), np.array(kept_scores)


def _overlap(one: Float[np.ndarray, "9 2"], others: Float[np.ndarray, "N 9 2"]) -> Float[np.ndarray, " N"]:
    low = np.maximum(one[0] - one[1] / 2, others[:, 0] - others[:, 1] / 2)
    high = np.minimum(one[0] + one[1] / 2, others[:, 0] + others[:, 1] / 2)
    both = np.clip(high - low, 0, None).prod(axis=1)
    return both / np.maximum(one[1].prod() + others[:, 1].prod(axis=1) - both, 1e-9)


def _in_photo(palms: Float[np.ndarray, "N 9 2"], scores: Float[np.ndarray, " N"], T_view_photo: np.ndarray) -> Palms:
    T_photo_view = np.linalg.inv(T_view_photo)
    points = transform_points(palms.reshape(-1, 2), T_photo_view).reshape(-1, 9, 2)
    sides = palms[:, 1].max(axis=1) * np.sqrt(abs(np.linalg.det(T_photo_view[:2, :2]))) if len(palms) else np.zeros(0)
    usable = sides > 1e-3
    return Palms(about_palms(points[usable, 0], sides[usable], points[usable, 2:]), scores[usable])
