"""Match sightings to tracks by the assignment of least total cost (Kuhn-Munkres); no hand is used twice."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from hifihr_core.eyes.same_hand import is_repetition
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.video.tracking.palm_motion import hand_size_px, palm_px
from hifihr_core.video.tracking.tracks import Track

#: A sighting farther than this from the expected palm, in hand sizes, is another hand ...
_REACH = 0.6
#: ... plus this much per second since the track was lost.
_REACH_PER_S = 2.0
#: Cost of a sighting that contradicts the track's side, at full confidence; of a change of size per factor e; and of
#: one that is probably not a hand.
_OTHER_SIDE, _OTHER_SIZE, _NO_HAND = 0.5, 0.4, 0.2
#: The cost of a joint saturates at this distance from its expected position, in hand sizes.
_FAR = 0.5
#: A sighting smaller than this, relative to the hand's usual size, is a finger that the network mistakes for a hand.
_SMALLEST = 0.5
#: Larger than any allowed cost.
NEVER = 1e6


def match(tracks: Sequence[Track], seen: Sequence[SeenHand], time_s: float) -> dict[int, int]:
    """Return the index of the sighting that continues each track, keyed by the index of the track.

    As many tracks as possible continue, with the least total cost. Two tracks never continue with the same hand: if two
    sightings show one hand, the track that fits it less well gets another sighting, or none.
    """
    if not tracks or not seen:
        return {}
    costs = np.array([[cost(track, one, time_s) for one in seen] for track in tracks])
    same = np.array([[same_hand(one.joints_px, other.joints_px) for other in seen] for one in seen])
    while True:
        pairs = assigned(costs)
        double = [(a, b) for a in pairs for b in pairs if a < b and same[pairs[a], pairs[b]]]
        if not double:
            return pairs
        a, b = double[0]
        worse = a if costs[a, pairs[a]] > costs[b, pairs[b]] else b
        better = b if worse == a else a
        costs[worse, same[pairs[better]]] = NEVER


def same_hand(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> bool:
    """Return whether two sightings show the same hand, or parts of it."""
    return is_repetition(one_px, other_px) or is_repetition(other_px, one_px)


def assigned(costs: Float[np.ndarray, "N M"]) -> dict[int, int]:
    """Return the column of each row in the assignment of least cost, omitting pairs that cost `NEVER`."""
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return {int(row): int(column) for row, column in pairs if costs[row, column] < NEVER}


def cost(track: Track, seen: SeenHand, time_s: float) -> float:
    """Return the cost of continuing a track with a sighting, in hand sizes; `NEVER` if they cannot be the same hand."""
    if hand_size_px(seen.joints_px) < _SMALLEST * track.usual_px:
        return NEVER
    lost_s = abs(time_s - track.seen_s)
    contrary = 2 * max(seen.side_confidence - 0.5, 0.0) if seen.side != track.side else 0.0
    sure = min(1.0, abs(track.right_odds) / 4)
    apart = distance(track.expected_px(time_s), seen.joints_px, lost_s)
    return apart + _OTHER_SIDE * contrary * sure + _NO_HAND * (1 - seen.score)


def distance(expected_px: Float[np.ndarray, "21 2"], joints_px: Float[np.ndarray, "21 2"], lost_s: float) -> float:
    """Return a hand's distance from where it is expected after `lost_s` seconds, in hand sizes.

    Half of it comes from the palm, half from all joints; a change of size adds to it. It is `NEVER` if the palm is too
    far away or the sizes differ too much.
    """
    sizes = hand_size_px(expected_px), hand_size_px(joints_px)
    size = max(*sizes, 1.0)
    palm = float(np.linalg.norm(palm_px(expected_px) - palm_px(joints_px))) / size
    ratio = abs(float(np.log(max(sizes[1], 1.0) / max(sizes[0], 1.0))))
    if palm > _REACH + _REACH_PER_S * lost_s or ratio > np.log(2.5) + lost_s:
        return NEVER
    joints = np.minimum(np.linalg.norm(expected_px - joints_px, axis=1) / size, _FAR).mean()
    return palm / 2 + float(joints) / 2 + _OTHER_SIZE * ratio
