"""The search for hands in a photo: proposals of the palm detector, each verified by the landmark network."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.palms import Palms, find_palms
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, joined, upright
from hifihr_core.eyes.same_hand import each_once, is_repetition
from hifihr_core.eyes.sightings import Sightings, join_sightings, look_again, look_at

Effort = Literal["fast", "auto", "thorough"]

_QUARTERS = (0.0, np.pi / 2, np.pi, -np.pi / 2)

#: A candidate is followed from this presence on, and kept from that on; the looks decide in the end.
_PROMISING, _PRESENT = 0.1, 0.6
#: Two regions whose centres differ by less than this many sides, and their sides by less than this factor, are one.
_SAME_CENTER, _SAME_SIDE, _SAME_TURN = 0.15, 1.35, 0.5
#: Neighbouring views and windows overlap by this share; no more than so many are taken in a row or column.
_VIEW_OVERLAP, _MAX_IN_ROW = 0.3, 10
#: A window counts from this presence on; a hand needs so many windows that end at it.
_WINDOW_PRESENT, _VOTES = 0.9, 3


@dataclass(frozen=True)
class SearchPlan:
    """How thoroughly a photo is searched.

    `view_sides` are the sides of the square views in which palms are looked for, in longer sides of the photo;
    `view_turns` the turns at which each is shown. The best `max_candidates` palms with a score of at least `palm_score`
    are looked at, and `rounds` times again from their own joints. `window_sides` are the sides of windows in which the
    landmark network looks for hands without a palm. `num_looks` is how many looks a found hand gets.
    """

    view_sides: tuple[float, ...]
    palm_score: float
    max_candidates: int
    rounds: int
    num_looks: int
    view_turns: tuple[float, ...] = (0.0,)
    window_sides: tuple[float, ...] = ()


EFFORTS: Mapping[Effort, SearchPlan] = MappingProxyType(
    {
        "fast": SearchPlan((1.0,), 0.3, 16, rounds=1, num_looks=2),
        "auto": SearchPlan((1.0, 0.6), 0.08, 80, rounds=2, num_looks=5),
        "thorough": SearchPlan(
            (1.0, 0.6, 0.36), 0.05, 240, rounds=3, num_looks=5, view_turns=_QUARTERS, window_sides=(0.6, 0.36, 0.22)
        ),
    }
)


def search(palm_engine: Engine, landmark_engine: Engine, pyramid: Pyramid, plan: SearchPlan) -> Sightings:
    """Return the likely hands of a photo, each once, the surest first."""
    views = square_views(pyramid.width, pyramid.height, plan.view_sides, plan.view_turns)
    palms = find_palms(palm_engine, pyramid, views, min_score=plan.palm_score)
    seen = look_at(landmark_engine, pyramid, distinct(palms)[: plan.max_candidates])
    seen = look_again(landmark_engine, pyramid, seen[seen.presence > _PROMISING], rounds=plan.rounds)
    seen = once(seen[seen.presence >= _PRESENT])
    if not plan.window_sides:
        return seen
    windows = square_views(pyramid.width, pyramid.height, plan.window_sides, _QUARTERS)
    return once(join_sightings([seen, voted(landmark_engine, pyramid, windows, seen, rounds=plan.rounds)]))


def once(seen: Sightings) -> Sightings:
    """Return each hand once, the surest first."""
    return seen[each_once(seen.joints_px, seen.presence)]


def voted(engine: Engine, pyramid: Pyramid, windows: Regions, known: Sightings, *, rounds: int) -> Sightings:
    """Return the hands on which several windows agree; those that are known already are left out."""
    seen = look_at(engine, pyramid, windows)
    seen = look_again(engine, pyramid, seen[seen.presence > _PROMISING], rounds=rounds)
    seen = seen[seen.presence >= _WINDOW_PRESENT]
    new = [not any(is_repetition(one, other) for other in known.joints_px) for one in seen.joints_px]
    seen = seen[np.array(new, dtype=bool)]
    first = once(seen)
    votes = [sum(is_repetition(other, one) for other in seen.joints_px) for one in first.joints_px]
    return first[np.array(votes, dtype=int) >= _VOTES]


def square_views(width: int, height: int, fractions: tuple[float, ...], turns: tuple[float, ...]) -> Regions:
    """Return overlapping squares that cover a photo, the largest first; sides in longer sides of the photo."""
    views = []
    for fraction in fractions:
        side = fraction * max(width, height)
        rows, columns = _spread(height, side), _spread(width, side)
        squares = joined([upright(np.array([x, y]), side) for y in rows for x in columns])
        views += [Regions(squares.center_px, squares.side_px, squares.turn + turn) for turn in turns]
    return joined(views)


def _spread(length: float, side: float) -> list[float]:
    if side >= length:
        return [length / 2]
    count = int(np.ceil((length - side) / (side * (1 - _VIEW_OVERLAP)) - 1e-9)) + 1
    return np.linspace(side / 2, length - side / 2, min(count, _MAX_IN_ROW)).tolist()


def distinct(palms: Palms) -> Regions:
    """Return the regions of palms, the best first, without those that nearly repeat a better one."""
    regions = palms.regions[np.argsort(-palms.score, kind="stable")]
    kept: list[int] = []
    for number in range(len(regions)):
        if not any(_same_region(regions, number, other) for other in kept):
            kept.append(number)
    return regions[np.array(kept, dtype=int)]


def _same_region(regions: Regions, a: int, b: int) -> bool:
    sides = regions.side_px[a], regions.side_px[b]
    apart = np.linalg.norm(regions.center_px[a] - regions.center_px[b]) / max(sides)
    turned = abs((regions.turn[a] - regions.turn[b] + np.pi) % (2 * np.pi) - np.pi)
    return bool(apart < _SAME_CENTER and max(sides) / min(sides) < _SAME_SIDE and turned < _SAME_TURN)
