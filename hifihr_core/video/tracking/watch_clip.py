"""The first pass over a clip: see the hands of every frame, and write them down."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.video.reading.frames import WHOLE, FrameSource, Span
from hifihr_core.video.tracking.journal import Journal, SeenFrame, as_written
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
    """Return the frames of a clip with their hands; those that are already in the journal are not looked at again."""
    tracker, seen = Tracker(_AsWritten(watcher), settings), []
    for frame in journal.frames():
        tracker.replay(frame)
        seen.append(frame)
    after = seen[-1].number if seen else -1
    try:
        for picture in source.frames(span, after=after):
            hands = tracker.step(picture.image, round(picture.time_s, 6))
            searched = tracker.state.since_search == 0
            frame = SeenFrame(picture.number, round(picture.time_s, 6), searched, {one.id: one.seen for one in hands})
            journal.append(frame)
            seen.append(frame)
            on_frame(picture.number)
    finally:
        journal.close()
    return seen


class _AsWritten:
    """Eyes whose sightings are rounded as the journal rounds them."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def find(self, image: UInt8[np.ndarray, "H W 3"]) -> Sequence[SeenHand]:
        return [as_written(one) for one in self._watcher.find(image)]

    def follow(self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "N 21 2"]) -> Sequence[SeenHand]:
        return [as_written(one) for one in self._watcher.follow(image, expected_px)]
