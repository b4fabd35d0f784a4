"""The first pass over a clip: find the hands in every frame and record them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.video.reading.frames import WHOLE, Frame, FrameSource, Span
from hifihr_core.video.tracking.journal import Journal, SeenFrame, as_written
from hifihr_core.video.tracking.parts_of_hands import without_parts
from hifihr_core.video.tracking.rewinding import Rewinder
from hifihr_core.video.tracking.stitching import stitched
from hifihr_core.video.tracking.tracker import Tracker, TrackSettings
from hifihr_core.video.tracking.watching import Watcher


def watch_clip(
    source: FrameSource,
    watcher: Watcher,
    journal: Journal,
    settings: TrackSettings,
    span: Span = WHOLE,
    *,
    on_frame: Callable[[int], None] = lambda number: None,
) -> list[SeenFrame]:
    """Return the frames of a clip with their hands; frames that are already in the journal are not processed again.

    A newly found hand is followed back through frames in which it was missed. Identities are the most likely ones over
    the whole clip.
    """
    watching = _Watching(source, _AsWritten(watcher), journal, settings)
    after = watching.take_up()
    try:
        for picture in source.frames(span, after=after - watching.rewinder.most * span.every):
            if picture.number > after:
                watching.step(picture)
                on_frame(picture.number)
            watching.rewinder.push(picture)
    finally:
        journal.close()
    return without_parts(stitched(list(watching.seen.values())))


class _Watching:
    """The state of the pass over a clip; `seen` are its frames so far, by number."""

    def __init__(self, source: FrameSource, watcher: Watcher, journal: Journal, settings: TrackSettings) -> None:
        self._tracker, self._journal = Tracker(watcher, settings), journal
        picture_bytes = source.facts.width * source.facts.height * 3
        self.rewinder = Rewinder(watcher, settings, picture_bytes=picture_bytes)
        self.seen: dict[int, SeenFrame] = {}
        self._last: dict[int, int] = {}

    def take_up(self) -> int:
        """Replay the journal of an earlier run; return the number of its last frame, or -1 without one."""
        for frame in self._journal.frames():
            if frame.number in self.seen:
                self._add(frame)
            else:
                self._tracker.replay(frame)
                self._keep(frame)
        return max(self.seen, default=-1)

    def step(self, picture: Frame) -> None:
        """Process the next picture, and look for its new hands in earlier ones in which they were missed."""
        time_s = round(picture.time_s, 6)
        hands = {one.id: one.seen for one in self._tracker.step(picture.image, time_s)}
        frame = SeenFrame(picture.number, time_s, self._tracker.state.since_search == 0, hands)
        before = max(self.seen, default=-1)
        for id, seen in hands.items():
            if before >= 0 and self._last.get(id, -1) != before:
                self._back(id, seen, time_s)
        self._journal.append(frame)  # after the update of earlier frames, so that a stopped run repeats both
        self._keep(frame)

    def _back(self, id: int, seen: SeenHand, time_s: float) -> None:
        def others(
            number: int,
        ) -> dict[int, SeenHand]:  # a run stopped while rewinding has recorded the hand itself
            return {other: hand for other, hand in self.seen[number].hands.items() if other != id}

        found = self.rewinder.back(seen, time_s, after=self._last.get(id, -1), others=others)
        for number, hand in found.items():
            earlier = self.seen[number]
            more = SeenFrame(number, earlier.time_s, earlier.searched, {id: hand})
            self._journal.append(more)
            self._add(more)

    def _keep(self, frame: SeenFrame) -> None:
        self.seen[frame.number] = frame
        self._last.update(dict.fromkeys(frame.hands, frame.number))

    def _add(self, more: SeenFrame) -> None:
        earlier = self.seen[more.number]
        self.seen[more.number] = replace(earlier, hands={**earlier.hands, **more.hands})


class _AsWritten:
    """A watcher whose sightings are rounded as in the journal."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def find(self, image: UInt8[np.ndarray, "H W 3"], *, closely: bool = False) -> Sequence[SeenHand]:
        return [as_written(one) for one in self._watcher.find(image, closely=closely)]

    def follow(self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "N 21 2"]) -> Sequence[SeenHand]:
        return [as_written(one) for one in self._watcher.follow(image, expected_px)]

    def search_near(
        self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "21 2"]
    ) -> Sequence[SeenHand]:
        return [as_written(one) for one in self._watcher.search_near(image, expected_px)]
