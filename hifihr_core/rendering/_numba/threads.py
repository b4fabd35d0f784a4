"""Distribute the work of kernels over threads.

A kernel works on one image, or on a band of its rows, without the interpreter lock; a small pool of Python threads runs
several of them at a time, as many as torch uses. Compared with numba's own parallel loops, this compiles several times
faster, is safe to call from any number of threads, and survives a fork.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

#: Number of partial sums per batch in backward passes, which fixes the order of additions for any number of threads.
PARTIALS = 16

_chosen: ContextVar[int | None] = ContextVar("threads of the kernels", default=None)
_pools: dict[int, ThreadPoolExecutor] = {}


@contextmanager
def kernels_on(threads: int) -> Iterator[None]:
    """In a `with` block, let kernels that this thread calls use `threads` threads, however many torch uses."""
    token = _chosen.set(threads)
    try:
        yield
    finally:
        _chosen.reset(token)


def _most() -> int:
    """Return how many threads kernels may use."""
    return _chosen.get() or torch.get_num_threads()


def run(work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call ``work(*task)`` for every task on several threads, and return the results in order.

    The number of threads is that set by `kernels_on`, or else torch's, but not more than there are tasks.
    """
    threads = min(_most(), len(tasks))
    if threads <= 1:
        return [work(*task) for task in tasks]
    pool = _pools.get(threads)
    if pool is None:
        pool = _pools.setdefault(threads, ThreadPoolExecutor(threads - 1, thread_name_prefix="hifihr-render"))
    waiting = deque(enumerate(tasks))
    results: list[Any] = [None] * len(tasks)
    helpers = [pool.submit(_work_through, work, waiting, results) for _ in range(threads - 1)]
    _work_through(work, waiting, results)  # the calling thread works too
    for helper in helpers:
        helper.result()
    return results


def bands(batch: int, height: int) -> list[tuple[int, int, int]]:
    """Divide the rows of a batch into bands, (image, first row, last row + 1), for the threads.

    A single thread gets one band per image. Otherwise, each thread gets two or more, unless these would have fewer than
    8 rows.
    """
    wanted = max(1, -(-2 * _most() // max(batch, 1))) if _most() > 1 else 1
    return _split(batch, height, min(wanted, max(1, height // 8)))


def partial_bands(batch: int, height: int) -> list[tuple[int, int, int, int]]:
    """Divide the rows of a batch into bands, (image, number of the band, first row, last row + 1), for backward passes.

    The bands do not depend on the number of threads, and each has its own partial sum, so the gradients do not depend
    on that number either.
    """
    parts = max(1, min(PARTIALS // max(batch, 1), height // 8))
    rows = _split(batch, height, parts)
    return [(image, index % parts, first, last) for index, (image, first, last) in enumerate(rows)]


def _split(batch: int, height: int, parts: int) -> list[tuple[int, int, int]]:
    borders = [height * part // parts for part in range(parts + 1)]
    return [(image, borders[p], borders[p + 1]) for image in range(batch) for p in range(parts)]


def _work_through(work: Callable[..., Any], waiting: deque[tuple[int, tuple[Any, ...]]], results: list[Any]) -> None:
    """Take tasks from `waiting` one by one until none is left, and write their results to `results`."""
    while True:
        try:
            index, task = waiting.popleft()
        except IndexError:
            return
        results[index] = work(*task)


if hasattr(os, "register_at_fork"):  # the threads of a pool do not survive in a forked child
    os.register_at_fork(after_in_child=_pools.clear)
