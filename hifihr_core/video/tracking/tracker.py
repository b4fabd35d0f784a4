"""The tracker: hands from frame to frame, with an identity and a side that stay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from hifihr_core.eyes.same_hand import each_once
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.records import Side
from hifihr_core.video.tracking.journal import SeenFrame
from hifihr_core.video.tracking.matching import match
from hifihr_core.video.tracking.tracks import Track, new_track
from hifihr_core.video.tracking.watching import Watcher


@dataclass(frozen=True)
class TrackSettings:
    """How hands are followed.

    A hand is searched for whenever one is lost or none is known (every `search_lost` frames), and every `search_every`
    frames while fewer than `max_hands` are known. A track begins at a score of `begins` and continues down to
    `goes_on`; it ends when it was not seen for `gap_s`.
    """

    max_hands: int = 2
    search_every: int = 10
    search_lost: int = 1
    begins: float = 0.7
    goes_on: float = 0.4
    gap_s: float = 0.5


@dataclass(frozen=True)
class Tracked:
    """A hand in one frame: the identity and side of its track, and the sighting."""

    id: int
    side: Side
    seen: SeenHand


@dataclass(frozen=True)
class TrackerState:
    """Everything that the next frame depends on."""

    tracks: tuple[Track, ...] = ()
    next_id: int = 0
    since_search: int = 10**6


class Tracker:
    """Follows hands; call `step` with frame after frame."""

    def __init__(self, watcher: Watcher, settings: TrackSettings = TrackSettings()) -> None:
        self._watcher, self.settings = watcher, settings
        self.state = TrackerState()

    def step(self, image: UInt8[np.ndarray, "H W 3"], time_s: float) -> list[Tracked]:
        """Return the hands of the next frame, `time_s` seconds after the first."""
        settings, state = self.settings, self.state
        tracks = [track for track in state.tracks if self._lives(track, time_s)]
        expected = np.array([track.expected_px(time_s) for track in tracks]).reshape(-1, 21, 2)
        seen = [one for one in self._watcher.follow(image, expected) if one.score >= settings.goes_on]
        searches = self._searches(tracks, len(_once(seen)))
        if searches:
            seen += [one for one in self._watcher.find(image) if one.score >= settings.goes_on]
        tracks, next_id = self._assigned(tracks, _once(seen), time_s)
        self.state = TrackerState(tuple(tracks), next_id, 0 if searches else state.since_search + 1)
        return [Tracked(track.id, track.side, track.seen) for track in tracks if track.misses == 0]

    def replay(self, frame: SeenFrame) -> None:
        """Replay what an earlier run saw in the next frame: the state is then the one that `step` left."""
        state = self.state
        tracks = [track for track in state.tracks if self._lives(track, frame.time_s)]
        kept = [
            track.continued(frame.hands[track.id], frame.time_s) if track.id in frame.hands else track.missed()
            for track in tracks
        ]
        known = {track.id for track in tracks}
        kept += [new_track(id, seen, frame.time_s) for id, seen in frame.hands.items() if id not in known]
        next_id = max((state.next_id, *(id + 1 for id in frame.hands)))
        self.state = TrackerState(tuple(kept), next_id, 0 if frame.searched else state.since_search + 1)

    def _lives(self, track: Track, time_s: float) -> bool:
        return time_s - track.seen_s <= self.settings.gap_s + 1e-6

    def _searches(self, tracks: Sequence[Track], num_seen: int) -> bool:
        settings, since = self.settings, self.state.since_search + 1
        if num_seen >= settings.max_hands:
            return False
        lost = num_seen < len(tracks) or not tracks
        return since >= (settings.search_lost if lost else settings.search_every)

    def _assigned(self, tracks: list[Track], seen: list[SeenHand], time_s: float) -> tuple[list[Track], int]:
        pairs = dict(match(tracks, seen, time_s))
        kept = [
            track.continued(seen[pairs[number]], time_s) if number in pairs else track.missed()
            for number, track in enumerate(tracks)
        ]
        next_id = self.state.next_id
        for number in sorted(set(range(len(seen))) - set(pairs.values()), key=lambda one: -seen[one].score):
            visible = sum(track.misses == 0 for track in kept)
            if seen[number].score >= self.settings.begins and visible < self.settings.max_hands:
                kept.append(new_track(next_id, seen[number], time_s))
                next_id += 1
        return kept, next_id


def _once(seen: Sequence[SeenHand]) -> list[SeenHand]:
    """Return each hand once: two tracks may have found the same one."""
    joints = np.array([one.joints_px for one in seen]).reshape(-1, 21, 2)
    return [seen[number] for number in each_once(joints, [one.score for one in seen])]
