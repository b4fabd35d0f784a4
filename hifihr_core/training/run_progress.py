"""Progress of a run: the reports of the training loop, and the clock that measures its speed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from hifihr_core.training.state import Position

#: Duration of a CPU run from which a warning is printed, seconds.
LONG_RUN_S = 24 * 3600.0

#: Number of steps after which the speed of a run is known; the first ones compile and fill caches.
_STEPS_TO_JUDGE = 8


@dataclass(frozen=True)
class Progress:
    """A progress report; `doing` is the current activity, and `done` the finished fraction of the whole run.

    `epoch` includes the fraction of the current epoch; `remaining_s` is None if it cannot be estimated yet.
    """

    doing: str = "training"
    step: int = 0
    epoch: float = 0.0
    done: float = 0.0
    loss: float | None = None
    images_per_s: float = 0.0
    remaining_s: float | None = None


OnProgress = Callable[[Progress], None]
OnNote = Callable[[str], None]


class Clock:
    """Measures the duration of a run and its speed; the pause before a run is resumed does not count."""

    def __init__(self, position: Position, batch_size: int) -> None:
        self._last = time.perf_counter()
        self._batch_size, self._speed = batch_size, 0.0
        self._start_s, self._start_step = position.elapsed_s, position.step
        self._judged = False

    def tick(self, position: Position) -> None:
        """Add the time since the last call, or since the start, to `position.elapsed_s`, and update the speed."""
        now = time.perf_counter()
        seconds = max(now - self._last, 1e-9)
        position.elapsed_s += seconds
        self._last = now
        speed = self._batch_size / seconds
        self._speed = speed if not self._speed else 0.9 * self._speed + 0.1 * speed

    def report(self, position: Position, *, epoch: float, done: float, loss: float | None) -> Progress:
        """Return the progress of the run; the speed is a moving average over the last steps."""
        remaining_s = position.elapsed_s * (1 - done) / done if done > 0 else None
        return Progress("training", position.step, epoch, done, loss, self._speed, remaining_s)

    def warning(self, position: Position, *, done: float, done_at_start: float) -> str | None:
        """Return a warning, once, if the run cannot finish within a day at its current speed."""
        taken = position.step - self._start_step
        if self._judged or taken < _STEPS_TO_JUDGE:
            return None
        self._judged = True
        seconds = (position.elapsed_s - self._start_s) * (1 - done) / max(done - done_at_start, 1e-9)
        if seconds < LONG_RUN_S:
            return None
        return (
            f"at this speed the run takes another {seconds / 86400:,.1f} days; to shorten it, stop it and continue "
            "with --resume and --set train.max_minutes=N or train.epochs=N, or use a GPU"
        )
