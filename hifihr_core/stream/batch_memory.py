"""Reusable memory for batches: allocating new pages for each batch would take nearly as much time as decoding it."""

import math
from collections import deque

import numpy as np
from jaxtyping import Shaped

#: Maximum number of blocks that are kept for reuse, whatever their sizes; the oldest is dropped first.
MOST_IDLE = 8

_idle: deque[np.ndarray] = deque(maxlen=MOST_IDLE)


class _Lease:
    """Gives an array the memory of a block; once the array and all its views are deleted, the block can be reused."""

    def __init__(self, block: np.ndarray) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        _idle.append(self.block)


def recycled(shape: tuple[int, ...], dtype: type[np.generic]) -> Shaped[np.ndarray, "..."]:
    """Return an uninitialised array, if possible in the memory of an earlier one of the same size that was deleted.

    Views and tensors that share an array's memory keep it in use, so data that a caller holds is never overwritten.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = _take(size)
    if block is None:
        block = np.empty(size, np.uint8)
    return np.asarray(_Lease(block)).view(dtype).reshape(shape)


def _take(size: int) -> np.ndarray | None:
    """Return an unused block of `size` bytes, or None; this is thread-safe, since a deque's `popleft` is atomic."""
    for _ in range(len(_idle)):
        try:
            block = _idle.popleft()
        except IndexError:
            return None
        if block.size == size:
            return block
        _idle.append(block)
    return None
