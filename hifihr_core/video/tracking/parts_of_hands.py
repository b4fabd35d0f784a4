"""Remove sightings that show only a finger: the network squeezes all joints of a hand into it, with high confidence.

A tracker that has lost a hand looks for it everywhere and sometimes accepts such a sighting. In hindsight it can be
recognised: it is much smaller than the same hand just before and after, or brief and much smaller than the other hand.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from hifihr_core.video.tracking.journal import SeenFrame
from hifihr_core.video.tracking.palm_motion import hand_size_px

#: Within this time a hand keeps about the same size; a sighting below this fraction of it is a part of a hand.
_NEAR_S, _PART = 0.5, 0.5
#: A track smaller than this fraction of another hand is only accepted if it is seen for longer than this.
_SMALL, _BRIEF_S = 0.6, 0.25
#: A track that was not seen for longer than this was lost in between.
_STEADY_S = 0.1


def without_parts(frames: Sequence[SeenFrame]) -> list[SeenFrame]:
    """Return the frames without the sightings that most likely show only a part of a hand."""
    rows = [(place, id) for place, frame in enumerate(frames) for id in sorted(frame.hands)]
    if not rows:
        return list(frames)
    times_s = np.array([frames[place].time_s for place, _ in rows])
    ids = np.array([id for _, id in rows])
    sizes = np.array([hand_size_px(frames[place].hands[id].joints_px) for place, id in rows])
    bad = _shrunken(times_s, ids, sizes) | _brief(times_s, ids, sizes)
    dropped = {row for row, wrong in zip(rows, bad.tolist(), strict=True) if wrong}
    return [
        replace(frame, hands={id: hand for id, hand in frame.hands.items() if (place, id) not in dropped})
        for place, frame in enumerate(frames)
    ]


def _shrunken(
    times_s: Float[np.ndarray, " N"], ids: np.ndarray, sizes: Float[np.ndarray, " N"]
) -> Bool[np.ndarray, " N"]:
    """Return which sightings are much smaller than the median in their track; `times_s` are in ascending order.

    The median is that of the sizes within half a second before and after the sighting.
    """
    bad = np.zeros(len(ids), dtype=bool)
    for id in np.unique(ids):
        own = np.flatnonzero(ids == id)
        first = np.searchsorted(times_s[own], times_s[own] - _NEAR_S, side="left")
        last = np.searchsorted(times_s[own], times_s[own] + _NEAR_S, side="right")
        usual = [np.median(sizes[own[low:high]]) for low, high in zip(first, last, strict=True)]
        bad[own] = sizes[own] < _PART * np.array(usual)
    return bad


def _brief(times_s: Float[np.ndarray, " N"], ids: np.ndarray, sizes: Float[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """Return which sightings belong to a brief run of a track that is much smaller than other hands at that time."""
    bad = np.zeros(len(ids), dtype=bool)
    for id in np.unique(ids):
        own = np.flatnonzero(ids == id)
        for run in np.split(own, np.flatnonzero(np.diff(times_s[own]) > _STEADY_S) + 1):
            first, last = times_s[run[0]], times_s[run[-1]]
            near = (ids != id) & (times_s >= first - _NEAR_S) & (times_s <= last + _NEAR_S)
            if near.any() and last - first < _BRIEF_S:
                bad[run] = np.median(sizes[run]) < _SMALL * np.median(sizes[near])
    return bad
