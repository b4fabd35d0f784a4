"""Threads that work ahead of a loop, in order, and end with it."""

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
    """Return a pool of single-core threads that may prepare page-locked memory for `device`."""
    index = torch.cuda.current_device() if device.type == "cuda" and device.index is None else device.index
    return ThreadPoolExecutor(
        count,
        thread_name_prefix="hifihr-data",
        initializer=_start,
        initargs=(torch.get_num_threads(), index if device.type == "cuda" else None),
    )


def map_ahead(pool: ThreadPoolExecutor, make: Callable[[A], R], tasks: Iterable[A], *, ahead: int) -> Iterator[R]:
    """Yield ``make(task)`` for every task, in order, with up to `ahead` of them started before they are requested. An
    error appears where its result would have. Leaving the loop early drops tasks that have not begun.
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
    """Make torch use one thread here: its small tensors do not benefit from several threads per worker.

    torch stores this number per thread, but a thread inherits the last number that was set when it first uses torch. So
    this thread uses torch right away, and another one resets the inherited number to `threads`.
    """
    torch.set_num_threads(1)
    torch.get_num_threads()
    restore = Thread(target=torch.set_num_threads, args=(threads,))
    restore.start()
    restore.join()
    if cuda_index is not None:
        torch.cuda.set_device(cuda_index)
