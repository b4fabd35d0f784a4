"""The search for hands in a photo: proposals of the palm detector, each verified by the landmark network."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Bool

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.palms import Palms, find_palms, palms_ahead
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, joined, same_regions, upright
from hifihr_core.eyes.same_hand import each_once, is_repetition
from hifihr_core.eyes.sightings import Sightings, distinct_readings, join_sightings, look_again, look_at

Effort = Literal["fast", "auto", "thorough"]

_QUARTERS = (0.0, np.pi / 2, np.pi, -np.pi / 2)

#: Minimum presence to pursue a candidate, and to keep it until `looks.look_closely` decides.
_PROMISING, _PRESENT = 0.1, 0.6
#: Two regions are the same if centres, sides and rotations differ by less; see `same_regions`.
_SAME_REGION = (0.15, 1.35, 0.5)
#: Two regions are at the same place if their centres differ by less; see `same_regions`. A sighting with this presence
#: is certain, and explains all regions there that are at most this factor larger than its own.
_SAME_PLACE, _CERTAIN, _LARGER = (0.25, 4.0, 4.0), 0.9, 1.35
#: Overlap of neighbouring views and windows, and the maximum number per row or column.
_VIEW_OVERLAP, _MAX_IN_ROW = 0.3, 10
#: A hand smaller than this fraction of a view is small there: others may be too small to be seen.
_SMALL = 0.2
#: Minimum presence for a window to count.
_WINDOW_PRESENT = 0.9
#: Maximum number of sightings that `readings` returns.
MAX_READINGS = 60


@dataclass(frozen=True)
class SearchPlan:
    """The settings of a search; sides are multiples of the photo's longer side.

    `view_sides` are the sides of the square parts of the photo ("views") in which palms are detected, each at the
    rotations `view_turns` (radians). Views with the smaller `finer_sides` follow, one side at a time, as long as small
    hands are found. The landmark network runs on the regions of the best `max_candidates` palms with a score of at
    least `palm_score`, and then up to `rounds` times on the region around the joints that it found. `window_sides` are
    the sides of square parts ("windows") in which the landmark network searches for hands whose palm was not detected;
    at least `votes` windows must agree on such a hand. `num_looks` is the number of looks (`looks.py`) at every hand.
    If no hand is found, the plan `if_blind` is tried.
    """

    view_sides: tuple[float, ...]
    palm_score: float
    rounds: int
    num_looks: int
    finer_sides: tuple[float, ...] = ()
    view_turns: tuple[float, ...] = (0.0,)
    window_sides: tuple[float, ...] = ()
    votes: int = 1
    max_candidates: int = 64
    if_blind: "SearchPlan | None" = None


EFFORTS: Mapping[str, SearchPlan] = MappingProxyType(
    {
        "fast": SearchPlan(
            (1.0,),
            palm_score=0.3,
            rounds=1,
            num_looks=2,
            max_candidates=16,
            if_blind=SearchPlan(
                (0.75,),
                palm_score=0.3,
                rounds=1,
                num_looks=2,
                max_candidates=4,
                if_blind=SearchPlan((0.6,), palm_score=0.3, rounds=1, num_looks=2, max_candidates=4),
            ),
        ),
        "auto": SearchPlan(
            (1.0, 0.6),
            palm_score=0.08,
            rounds=2,
            num_looks=5,
            finer_sides=(0.36, 0.22),
            if_blind=SearchPlan(
                (1.0, 0.6), palm_score=0.05, rounds=3, num_looks=5, view_turns=_QUARTERS, window_sides=(1.3, 1.0, 0.6)
            ),
        ),
        "thorough": SearchPlan(
            (1.0, 0.6, 0.36),
            palm_score=0.05,
            rounds=3,
            num_looks=5,
            finer_sides=(0.22,),
            view_turns=_QUARTERS,
            window_sides=(0.6, 0.36, 0.22),
            votes=2,
            max_candidates=120,
        ),
    }
)


def search(palm_engine: Engine, landmark_engine: Engine, pyramid: Pyramid, plan: SearchPlan) -> Sightings:
    """Return the likely hands in a photo, most certain first; one hand may appear several times, with other joints."""
    longer = max(pyramid.width, pyramid.height)
    seen, before = look_at(landmark_engine, pyramid, joined([])), 1.0

    def views(side: float) -> Regions:
        return square_views(pyramid.width, pyramid.height, (side,), plan.view_turns)

    always = [views(side) for side in plan.view_sides]
    with palms_ahead(palm_engine, pyramid, always, min_score=plan.palm_score) as palms_in:
        for number, side in enumerate((*plan.view_sides, *plan.finer_sides)):
            if number < len(always):
                palms = palms_in(number)
            elif (once(seen).size_px() < _SMALL * before * longer).any():
                palms = find_palms(palm_engine, pyramid, views(side), min_score=plan.palm_score)
            else:
                break
            regions = distinct(palms, seen.regions())[: plan.max_candidates]
            seen = readings(place_by_place(landmark_engine, pyramid, regions, seen, rounds=plan.rounds))
            before = side
    if plan.window_sides:
        windows = square_views(pyramid.width, pyramid.height, plan.window_sides, _QUARTERS)
        more = voted(landmark_engine, pyramid, windows, seen, rounds=plan.rounds, votes=plan.votes)
        seen = readings(join_sightings([seen, more]))
    return seen


def place_by_place(engine: Engine, pyramid: Pyramid, regions: Regions, known: Sightings, *, rounds: int) -> Sightings:
    """Return the known hands, followed by those found in `regions`, which are sorted best first.

    At each place the best region is tried first. If it certainly shows a hand, the other regions there are skipped,
    except larger ones: they may show the whole hand, of which the first showed only a part.
    """
    for leading in (True, False):
        regions = regions[~explained(regions, known)]
        now = leaders(regions) if leading else np.ones(len(regions), dtype=bool)
        more = verified(engine, pyramid, regions[now], rounds=rounds, known=known)
        known, regions = join_sightings([known, more]), regions[~now]
    return known


def leaders(regions: Regions) -> Bool[np.ndarray, " N"]:
    """Return which regions are the first ones at their place (`_SAME_PLACE`)."""
    first = np.ones(len(regions), dtype=bool)
    for number in range(1, len(regions)):
        better = np.flatnonzero(first[:number])
        first[number] = not same_regions(regions[better], regions[np.array([number])], *_SAME_PLACE).any()
    return first


def explained(regions: Regions, known: Sightings) -> Bool[np.ndarray, " N"]:
    """Return which regions are at the place of a certain hand and not much larger than its region."""
    sure = known[known.presence >= _CERTAIN].regions()
    places = [regions[np.array([number])] for number in range(len(regions))]
    near = [same_regions(sure, one, *_SAME_PLACE) & (one.side_px < _LARGER * sure.side_px) for one in places]
    return np.array([one.any() for one in near], dtype=bool)


def verified(
    engine: Engine, pyramid: Pyramid, regions: Regions, *, rounds: int, known: Sightings | None = None
) -> Sightings:
    """Return the hands that the landmark network finds in `regions`.

    After a first run, it runs up to `rounds` times on the region around the joints that it found. Regions in which the
    first run shows one of the `known` hands are skipped.
    """
    seen = look_at(engine, pyramid, regions)
    if known is not None:
        new = distinct_readings(join_sightings([known, seen])) - len(known)
        seen = seen[np.sort(new[new >= 0])]
    seen = look_again(engine, pyramid, seen[seen.presence > _PROMISING], rounds=rounds)
    return seen[seen.presence >= _PRESENT]


def once(seen: Sightings) -> Sightings:
    """Return the sightings without duplicates and parts of other hands, most certain first."""
    return seen[each_once(seen.joints_px, seen.rank())]


def readings(seen: Sightings) -> Sightings:
    """Return at most `MAX_READINGS` sightings with clearly different joints, most certain first.

    Several of them may be of one hand; `looks.look_closely` is needed to decide which is right.
    """
    return seen[distinct_readings(seen)[:MAX_READINGS]]


def voted(
    engine: Engine, pyramid: Pyramid, windows: Regions, known: Sightings, *, rounds: int, votes: int
) -> Sightings:
    """Return the hands, except known ones, that the landmark network finds in at least `votes` windows."""
    seen = verified(engine, pyramid, windows, rounds=rounds)
    seen = seen[seen.presence >= _WINDOW_PRESENT]
    new = [not any(is_repetition(one, other) for other in known.joints_px) for one in seen.joints_px]
    seen = seen[np.array(new, dtype=bool)]
    first = once(seen)
    ends = [sum(is_repetition(other, one) for other in seen.joints_px) for one in first.joints_px]
    return first[np.array(ends, dtype=int) >= votes]


def square_views(width: int, height: int, fractions: tuple[float, ...], turns: tuple[float, ...]) -> Regions:
    """Return a grid of overlapping squares over a photo, for every side and every rotation.

    The sides are `fractions` of the photo's longer side; the rotations are `turns`, in radians.
    """
    views = []
    for fraction in fractions:
        side = fraction * max(width, height)
        rows, columns = _spread(height, side), _spread(width, side)
        squares = joined([upright(np.array([x, y]), side) for y in rows for x in columns])
        views += [Regions(squares.center_px, squares.side_px, squares.turn + turn) for turn in turns]
    return joined(views)


def _spread(length: int, side: float) -> list[float]:
    if side >= length:
        return [length / 2]
    count = int(np.ceil((length - side) / (side * (1 - _VIEW_OVERLAP)) - 1e-9)) + 1
    return np.linspace(side / 2, length - side / 2, min(count, _MAX_IN_ROW)).tolist()


def distinct(palms: Palms, known: Regions) -> Regions:
    """Return the regions of palms, best first, without those that nearly coincide with a better or known one."""
    regions = joined([known, palms.regions[np.argsort(-palms.score, kind="stable")]])
    kept = list(range(len(known)))
    for number in range(len(known), len(regions)):
        if not same_regions(regions[np.array([number])], regions[np.array(kept, dtype=int)], *_SAME_REGION).any():
            kept.append(number)
    return regions[np.array(kept[len(known) :], dtype=int)]
