"""Threads that compute the items of a loop ahead of time, in order, and stop when the loop ends."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Thread
from typing import TypeVar

import torch

A = TypeVar("A")
R = TypeVar("R")


def start_workers(count: int, device: torch.device) -> ThreadPoolExecutor:
    """Return a pool of `count` threads, each with a single torch thread and with `device`, if CUDA, as its device."""
    index = torch.cuda.current_device() if device.type == "cuda" and device.index is None else device.index
    return ThreadPoolExecutor(
        count,
        thread_name_prefix="hifihr-data",
        initializer=_start,
        initargs=(torch.get_num_threads(), index if device.type == "cuda" else None),
    )


def map_ahead(pool: ThreadPoolExecutor, make: Callable[[A], R], tasks: Iterable[A], *, ahead: int) -> Iterator[R]:
    """Yield ``make(task)`` for every task, in order; up to `ahead` of them are started before they are requested.

    An error in `make` is raised when the result of its task is requested. If the caller stops early, tasks that have
    not begun are cancelled.
    """
    left = iter(tasks)
    under_way: deque[Future[R]] = deque(pool.submit(make, task) for task in islice(left, ahead))
    try:
        while under_way:
            result = under_way.popleft().result()
            under_way.extend(pool.submit(make, task) for task in islice(left, 1))
            yield result
    finally:
        for future in under_way:
            future.cancel()


def _start(threads: int, cuda_index: int | None) -> None:
    """Make torch use one thread in this worker, whose small tensors do not benefit from several.

    torch stores this number per thread, but a thread that uses torch for the first time inherits the last number that
    any thread set. So this thread uses torch right away, and another thread then resets the inherited number to
    `threads`.
    """
    torch.set_num_threads(1)
    torch.get_num_threads()
    restore = Thread(target=torch.set_num_threads, args=(threads,))
    restore.start()
    restore.join()
    if cuda_index is not None:
        torch.cuda.set_device(cuda_index)
