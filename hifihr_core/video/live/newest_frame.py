"""The newest picture of a camera: a slow reader skips pictures and never falls behind."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hifihr_core.video.reading.frames import Frame


@dataclass(frozen=True)
class Arrived:
    """A frame, the time of its arrival (`time.monotonic`), and the number of frames skipped so far."""

    frame: Frame
    arrived_s: float
    dropped: int


class NewestFrame:
    """Holds at most one frame for a reader in another thread; a newer frame replaces it."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._waiting: Arrived | None = None
        self._dropped, self._ended = 0, False

    def put(self, frame: Frame, arrived_s: float) -> None:
        """Store a frame; an earlier one that has not been taken is dropped."""
        with self._change:
            self._dropped += self._waiting is not None
            self._waiting = Arrived(frame, arrived_s, self._dropped)
            self._change.notify()

    def end(self) -> None:
        """Signal the end of the frames."""
        with self._change:
            self._ended = True
            self._change.notify()

    def take(self) -> Arrived | None:
        """Wait for a frame and return the newest, or None after the last."""
        with self._change:
            self._change.wait_for(lambda: self._waiting is not None or self._ended)
            taken, self._waiting = self._waiting, None
            return taken


def newest_frames(frames: Iterable[Frame]) -> Iterator[Arrived]:
    """Yield the newest of `frames`, which are read in a separate thread, until they end.

    If reading a frame raises an error, it is raised here after the frames before it.
    """
    place, errors, stopped = NewestFrame(), [], threading.Event()

    def read() -> None:
        try:
            for frame in frames:
                if stopped.is_set():
                    return
                place.put(frame, time.monotonic())
        except Exception as error:  # noqa: BLE001 - handed to the thread that asked
            errors.append(error)
        finally:
            place.end()

    reader = threading.Thread(target=read, name="frames", daemon=True)
    reader.start()
    try:
        while (arrived := place.take()) is not None:
            yield arrived
    finally:
        stopped.set()
    reader.join()
    if errors:
        raise errors[0]


def at_own_speed(frames: Iterable[Frame], *, sleep: Callable[[float], None] = time.sleep) -> Iterator[Frame]:
    """Yield the frames of a file in real time, like a camera."""
    start: float | None = None
    for frame in frames:
        start = time.monotonic() - frame.time_s if start is None else start
        early_s = start + frame.time_s - time.monotonic()
        if early_s > 0:
            sleep(early_s)
        yield frame
