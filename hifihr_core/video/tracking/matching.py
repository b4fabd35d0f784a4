"""Which sighting continues which track: the assignment of least cost (Kuhn-Munkres)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.video.tracking.tracks import Track, palm_px

#: A sighting farther than this from the expected palm, in sizes of the hand, is another hand ...
_REACH = 0.6
#: ... and this much more per second that the track was lost.
_REACH_PER_S = 2.0
#: Cost of sightings that speak against the side of a track, at full confidence, and of another size per factor e.
_OTHER_SIDE, _OTHER_SIZE = 0.5, 0.4
#: Larger than any cost that is allowed.
_NEVER = 1e6


def match(tracks: Sequence[Track], seen: Sequence[SeenHand], time_s: float) -> list[tuple[int, int]]:
    """Return pairs (number of a track, number of a sighting): as many as possible, then of the least total cost."""
    if not tracks or not seen:
        return []
    costs = np.array([[cost(track, one, time_s) for one in seen] for track in tracks])
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return [(int(row), int(column)) for row, column in pairs if costs[row, column] < _NEVER]


def cost(track: Track, seen: SeenHand, time_s: float) -> float:
    """Return how badly a sighting continues a track, in units of the hand's size; `_NEVER` if it cannot."""
    size = max(track.seen.size_px, seen.size_px, 1.0)
    lost_s = max(time_s - track.seen_s, 0.0)
    apart = float(np.linalg.norm(_expected_palm(track, time_s) - palm_px(seen))) / size
    ratio = abs(float(np.log(max(seen.size_px, 1.0) / max(track.seen.size_px, 1.0))))
    if apart > _REACH + _REACH_PER_S * lost_s or ratio > np.log(2.5) + lost_s:
        return _NEVER
    contrary = 2 * max(seen.side_confidence - 0.5, 0.0) if seen.side != track.side else 0.0
    sure = min(1.0, abs(track.right_odds) / 4)
    return apart + _OTHER_SIDE * contrary * sure + _OTHER_SIZE * ratio


def _expected_palm(track: Track, time_s: float) -> Float[np.ndarray, "2"]:
    return palm_px(track.seen) + (track.expected_px(time_s) - track.seen.joints_px)[0]
