"""Choose the device, and limit threads."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from hifihr_core.errors import DeviceError


def choose_device(name: str, *, local_rank: int = 0) -> torch.device:
    """Return the device `name` of this process; "auto" is CUDA if available, else MPS, else the CPU.

    `local_rank` selects the CUDA device if the name has no number. Raises: DeviceError if the device is unknown or not
    available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device {name!r}, expected auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        index = local_rank if device.index is None else device.index
        if index >= count:
            remedy = "use a lower number, fewer processes or --device cpu" if count else "use --device cpu"
            raise DeviceError(f"device cuda:{index}: no such device (CUDA devices found: {count}); {remedy}")
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps: not available on this machine; use --device cpu")
    return device


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict torch to one thread on the CPU while the body runs.

    For thousands of small tensors (one hand, a few steps), synchronising threads costs more than it gains: on two
    shared cores, one thread took 0.5 s of processor time per photo instead of 1.3 s.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1


Item = TypeVar("Item")
Answer = TypeVar("Answer")


def side_by_side(work: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """Return ``work(item)`` for every item, in order, computed without gradients on up to `usable_cores` threads.

    For work that releases the interpreter lock. Call it within `one_thread`, so that torch does not add threads.
    """

    def alone(item: Item) -> Answer:
        with torch.no_grad():  # threads do not inherit it
            return work(item)

    threads = min(usable_cores(), len(items))
    if threads <= 1:
        return [alone(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(alone, items))
