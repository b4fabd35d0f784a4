"""Reusable memory for batches: allocating new pages for each one would cost nearly as much time as decoding."""

import math
from collections import deque

import numpy as np
from jaxtyping import Shaped

#: Maximum number of idle blocks, whatever their sizes; the oldest is dropped first.
MOST_IDLE = 8

_idle: deque[np.ndarray] = deque(maxlen=MOST_IDLE)


class _Lease:
    """The owner of an array over a block; when the last view is gone, the block becomes idle again."""

    def __init__(self, block: np.ndarray) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        _idle.append(self.block)


def recycled(shape: tuple[int, ...], dtype: type[np.generic]) -> Shaped[np.ndarray, "..."]:
    """Return an uninitialised array, in the memory of an earlier one of the same size that is no longer in use.

    Views and tensors that share its memory keep it alive, so data that a caller holds is never overwritten.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = _take(size)
    if block is None:
        block = np.empty(size, np.uint8)
    return np.asarray(_Lease(block)).view(dtype).reshape(shape)


def _take(size: int) -> np.ndarray | None:
    """Return an idle block of `size` bytes; this is thread-safe, since a deque's pop is atomic."""
    for _ in range(len(_idle)):
        try:
            block = _idle.popleft()
        except IndexError:
            return None
        if block.size == size:
            return block
        _idle.append(block)
    return None
