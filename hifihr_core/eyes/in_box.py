"""Find the hand in a known box with the landmark network alone, in regions of several sizes and rotations."""

import numpy as np
from jaxtyping import Float

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, joined, upright
from hifihr_core.eyes.sightings import Sightings, join_sightings, look_again, look_at
from hifihr_core.geometry.crops import square_around

#: Region sizes relative to the longer side of the box, and the number of rotations; the second try is for missed hands.
_FIRST_TRY, _SECOND_TRY = ((1.2, 1.7), 4), ((0.9, 1.3, 1.8), 8)
_SURE = 0.8
_ROUNDS = 3
_FOLLOWED = 3
#: Joints may be outside the box by this fraction of its longer side.
_MARGIN = 0.15


def look_in_boxes(engine: Engine, pyramid: Pyramid, boxes_px: Float[np.ndarray, "N 4"]) -> Sightings:
    """Return the best sighting of a hand for every box x0, y0, x1, y1 (pixels); its presence may be low."""
    found = [_look_in(engine, pyramid, box, *_FIRST_TRY) for box in boxes_px]
    return join_sightings(
        [
            seen if seen.presence[0] >= _SURE else _better(box, seen, _look_in(engine, pyramid, box, *_SECOND_TRY))
            for box, seen in zip(boxes_px, found, strict=True)
        ]
    )


def _look_in(
    engine: Engine, pyramid: Pyramid, box_px: np.ndarray, sides: tuple[float, ...], num_turns: int
) -> Sightings:
    center, longer = square_around(box_px)
    squares = joined([upright(center, longer * side) for side in sides]).repeated(num_turns)
    turns = np.tile(np.arange(num_turns) * 2 * np.pi / num_turns, len(sides))
    seen = look_at(engine, pyramid, Regions(squares.center_px, squares.side_px, turns))
    best = seen[np.argsort(-_fitness(seen, box_px), kind="stable")[:_FOLLOWED]]
    followed = look_again(engine, pyramid, best, rounds=_ROUNDS)
    return followed[np.argsort(-_fitness(followed, box_px), kind="stable")[:1]]


def _better(box_px: np.ndarray, one: Sightings, other: Sightings) -> Sightings:
    return other if _fitness(other, box_px)[0] > _fitness(one, box_px)[0] else one


def _fitness(seen: Sightings, box_px: np.ndarray) -> Float[np.ndarray, " N"]:
    """Return the presence of each hand, times the fraction of its joints inside the box, times its size.

    The size is relative to 0.6 of the longer side of the box, and at most 1.
    """
    low, high = box_px[:2], box_px[2:]
    margin = _MARGIN * (high - low).max()
    inside = ((seen.joints_px > low - margin) & (seen.joints_px < high + margin)).all(axis=-1).mean(axis=1)
    filled = np.minimum(seen.size_px() / max((high - low).max(), 1e-6) / 0.6, 1.0)
    return seen.presence * inside * filled
