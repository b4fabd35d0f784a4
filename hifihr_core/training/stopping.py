"""Ending a run politely: the first Ctrl-C or SIGTERM ends it at the border of a step, the second at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from hifihr_core.training.distributed import World

#: The signals that ask a run to end: Ctrl-C, and what `kill`, Slurm and containers send.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether somebody asked this run to end; `asked` is the number of the signal."""

    asked: int | None = None

    def agreed(self, world: World) -> bool:
        """Return whether the run should end now; all processes of a run answer alike, at the same step."""
        if world.size == 1:
            return self.asked is not None
        flag = torch.tensor(float(self.asked is not None), device=world.device)
        return bool(world.sum({"stop": flag})["stop"] > 0)


@contextmanager
def polite_stop() -> Iterator[Stop]:
    """Note the first signal instead of obeying it while the body runs; the second is obeyed as usual. Outside the main
    thread signals are not ours, and nothing is changed.
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
