"""The tracker: follow hands from frame to frame, with stable identities and sides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from hifihr_core.eyes.looks import probability_of_hand
from hifihr_core.eyes.same_hand import touches
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.records import Side
from hifihr_core.video.tracking.journal import SeenFrame
from hifihr_core.video.tracking.matching import match, same_hand
from hifihr_core.video.tracking.tracks import Track, new_track
from hifihr_core.video.tracking.watching import Watcher


@dataclass(frozen=True)
class TrackSettings:
    """Settings of the tracker.

    With `search_near`, a lost hand is searched for near its last position in every frame. While fewer than `max_hands`
    are seen, the whole picture is searched: every `search_lost` frames if a hand is lost or none is known, otherwise
    every `search_every` frames. Once every `closely_every_s` seconds this search is a close one, which finds more but
    takes half a second.

    A track starts with a hand whose score is at least `begins`. Since a hand most likely still is where it was a moment
    ago, a track continues with a presence (the network's estimate that a hand is there) of at least `goes_on`, which
    would not be enough to start one. A track ends once its hand has not been seen for `gap_s` seconds.
    """

    max_hands: int = 2
    search_every: int = 5
    search_lost: int = 1
    search_near: bool = True
    closely_every_s: float = 1.0
    begins: float = 0.7
    goes_on: float = 0.65
    gap_s: float = 0.7

    @property
    def goes_on_score(self) -> float:
        """The score that corresponds to a presence of `goes_on`."""
        return probability_of_hand(self.goes_on)


#: Settings for live cameras, where there is no time for more.
LIVE_TRACKING = TrackSettings(search_every=10, search_near=False, closely_every_s=math.inf)


@dataclass(frozen=True)
class Tracked:
    """A hand in one frame: the identity and side of its track, and the sighting."""

    id: int
    side: Side
    seen: SeenHand


@dataclass(frozen=True)
class TrackerState:
    """What the tracker keeps between frames.

    `next_id` is the identity of the next new track, `since_search` the number of frames since the whole picture was
    searched, and `closely_s` the time of the last close search.
    """

    tracks: tuple[Track, ...] = ()
    next_id: int = 0
    since_search: int = 10**6
    closely_s: float = -math.inf


class Tracker:
    """Tracks hands; call `step` with each frame in turn."""

    def __init__(self, watcher: Watcher, settings: TrackSettings = TrackSettings()) -> None:
        self._watcher, self.settings = watcher, settings
        self.state = TrackerState()

    def step(self, image: UInt8[np.ndarray, "H W 3"], time_s: float) -> list[Tracked]:
        """Return the hands of the next frame, `time_s` seconds after the first."""
        tracks = [track for track in self.state.tracks if self._lives(track, time_s)]
        expected = np.array([track.expected_px(time_s) for track in tracks]).reshape(-1, 21, 2)
        seen = self._hands(self._watcher.follow(image, expected))
        pairs = match(tracks, seen, time_s)
        lost = sorted(set(range(len(tracks))) - set(pairs), key=lambda one: tracks[one].misses)
        for number in lost if self.settings.search_near else ():
            seen += self._hands(self._watcher.search_near(image, expected[number]))
            pairs = match(tracks, seen, time_s)
        searches = self._searches(tracks, len(pairs))
        if searches:
            seen += self._hands(self._watcher.find(image, closely=self._closely_s(time_s) == time_s))
            pairs = match(tracks, seen, time_s)
        kept = [
            track.continued(seen[pairs[number]], time_s) if number in pairs else track.missed()
            for number, track in enumerate(tracks)
        ]
        kept += self._begun(kept, [one for k, one in enumerate(seen) if k not in pairs.values()], time_s)
        next_id = max((self.state.next_id, *(track.id + 1 for track in kept)))
        self.state = self._next_state(kept, next_id, searches, time_s)
        return [Tracked(track.id, track.side, track.seen) for track in kept if track.misses == 0]

    def replay(self, frame: SeenFrame) -> None:
        """Replay the next frame of an earlier run; the state is then the same as after `step`."""
        state = self.state
        tracks = [track for track in state.tracks if self._lives(track, frame.time_s)]
        kept = [
            track.continued(frame.hands[track.id], frame.time_s) if track.id in frame.hands else track.missed()
            for track in tracks
        ]
        known = {track.id for track in tracks}
        kept += [new_track(id, seen, frame.time_s) for id, seen in frame.hands.items() if id not in known]
        next_id = max((state.next_id, *(id + 1 for id in frame.hands)))
        self.state = self._next_state(kept, next_id, frame.searched, frame.time_s)

    def _next_state(self, tracks: Sequence[Track], next_id: int, searched: bool, time_s: float) -> TrackerState:
        if not searched:
            return TrackerState(tuple(tracks), next_id, self.state.since_search + 1, self.state.closely_s)
        return TrackerState(tuple(tracks), next_id, 0, self._closely_s(time_s))

    def _closely_s(self, time_s: float) -> float:
        """Return the time of the last close search, or `time_s` if another one is due."""
        last = self.state.closely_s
        return time_s if time_s - last >= self.settings.closely_every_s - 1e-6 else last

    def _lives(self, track: Track, time_s: float) -> bool:
        return time_s - track.seen_s <= self.settings.gap_s + 1e-6

    def _searches(self, tracks: Sequence[Track], num_seen: int) -> bool:
        settings, since = self.settings, self.state.since_search + 1
        if num_seen >= settings.max_hands:
            return False
        lost = num_seen < len(tracks) or not tracks
        return since >= (settings.search_lost if lost else settings.search_every)

    def _hands(self, seen: Sequence[SeenHand]) -> list[SeenHand]:
        return [one for one in seen if one.score >= self.settings.goes_on_score]

    def _begun(self, tracks: Sequence[Track], free: Sequence[SeenHand], time_s: float) -> list[Track]:
        """Return new tracks for the sightings in `free`, which continue no track, most certain first.

        A sighting that overlaps a known hand is skipped, since it is most likely the same hand; a hand that another one
        hides starts a track once they no longer overlap.
        """
        known = [track.seen.joints_px for track in tracks if track.misses == 0]
        begun: list[Track] = []
        for one in sorted(free, key=lambda hand: -hand.score):
            if one.score < self.settings.begins or len(known) >= self.settings.max_hands:
                break
            if any(same_hand(one.joints_px, other) or touches(one.joints_px, other) for other in known):
                continue
            begun.append(new_track(self.state.next_id + len(begun), one, time_s))
            known.append(one.joints_px)
        return begun
