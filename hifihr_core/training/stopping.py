"""Stop a run gracefully: the first Ctrl-C or SIGTERM ends it after the current step, the second at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from hifihr_core.training.distributed import World

#: Signals that ask a run to stop: Ctrl-C, and the one sent by `kill`, Slurm and containers.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether this run was asked to stop; `asked` is the number of the signal, or None if none has arrived."""

    asked: int | None = None

    def agreed(self, world: World) -> bool:
        """Return whether the run should stop now; all processes get the same answer at the same step."""
        if world.size == 1:
            return self.asked is not None
        flag = torch.tensor(float(self.asked is not None), device=world.device)
        return bool(world.sum({"stop": flag})["stop"] > 0)


@contextmanager
def polite_stop() -> Iterator[Stop]:
    """While the body runs, only record the first signal; the second one raises KeyboardInterrupt.

    Outside the main thread, where Python does not deliver signals, nothing changes.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        stop.asked = number
        for name in SIGNALS:
            signal.signal(name, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
