"""Rewinding: a newly found hand is followed back through earlier pictures in which it was missed."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.video.reading.frames import Frame
from hifihr_core.video.tracking.matching import match, same_hand
from hifihr_core.video.tracking.tracker import TrackSettings
from hifihr_core.video.tracking.tracks import Track, new_track
from hifihr_core.video.tracking.watching import Watcher

#: Maximum number of stored pictures, and their maximum size in bytes.
_MOST_FRAMES, _MOST_BYTES = 90, 200 * 2**20
#: A hand is given up after it has not been seen for this long.
_GIVES_UP_S = 0.3


class Rewinder:
    """Stores the last pictures of a clip; `back` follows a hand through them, newest first."""

    def __init__(self, watcher: Watcher, settings: TrackSettings, *, picture_bytes: int) -> None:
        self._watcher, self._settings = watcher, settings
        self.most = int(np.clip(_MOST_BYTES // max(picture_bytes, 1), 1, _MOST_FRAMES))
        self._frames: deque[Frame] = deque(maxlen=self.most)

    def push(self, frame: Frame) -> None:
        """Store a picture."""
        self._frames.append(frame)

    def back(
        self,
        seen: SeenHand,
        time_s: float,
        *,
        after: int,
        others: Callable[[int], Mapping[int, SeenHand]],
    ) -> dict[int, SeenHand]:
        """Return the sightings of a hand, by frame number, in the stored pictures with a number above `after`.

        The hand, seen at `time_s`, is followed back until it has been missing for 0.3 s. `others` returns the other
        known hands in the picture with a given number, with which it must not be confused.
        """
        track, found = new_track(0, seen, -time_s), {}
        for frame in reversed(self._frames):
            if frame.number <= after or -frame.time_s - track.seen_s > _GIVES_UP_S:
                break
            one = self._look(track, frame, others(frame.number))
            if one is not None:
                track = track.continued(one, -frame.time_s)
                found[frame.number] = one
        return found

    def _look(self, track: Track, frame: Frame, others: Mapping[int, SeenHand]) -> SeenHand | None:
        """Return the hand of a track in an earlier picture: at its expected position, or else near it."""
        expected = track.expected_px(-frame.time_s)
        seen = self._own(self._watcher.follow(frame.image, expected[None]), track, frame, others)
        if seen is None:
            seen = self._own(self._watcher.search_near(frame.image, expected), track, frame, others)
        return seen

    def _own(
        self, seen: Sequence[SeenHand], track: Track, frame: Frame, others: Mapping[int, SeenHand]
    ) -> SeenHand | None:
        """Return the sighting that best continues the track, or None; hands of other tracks are excluded."""
        free = [
            one
            for one in seen
            if one.score >= self._settings.goes_on_score
            and not any(same_hand(one.joints_px, other.joints_px) for other in others.values())
        ]
        return free[pairs[0]] if (pairs := match([track], free, -frame.time_s)) else None
