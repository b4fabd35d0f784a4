"""Memory of batches, reused once nothing refers to a batch: fresh pages cost as much as part of the decoding."""

import math
from collections import deque

import numpy as np
from jaxtyping import Shaped

#: So many blocks wait to be used again, whatever their sizes; the oldest goes first.
MOST_IDLE = 8

_idle: deque[np.ndarray] = deque(maxlen=MOST_IDLE)


class _Lease:
    """What an array over a block points to as its owner; when the last view is gone, the block is free again."""

    def __init__(self, block: np.ndarray) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        _idle.append(self.block)


def recycled(shape: tuple[int, ...], dtype: type[np.generic]) -> Shaped[np.ndarray, "..."]:
    """Return an array of any content, in memory of an earlier array of the same size that nothing refers to any more.

    Views of it and tensors that share its memory hold it, so what a caller keeps is never written to.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = _take(size)
    if block is None:
        block = np.empty(size, np.uint8)
    return np.asarray(_Lease(block)).view(dtype).reshape(shape)


def _take(size: int) -> np.ndarray | None:
    """Return an idle block of `size` bytes; threads may ask at the same time, since a deque's pop is one step."""
    for _ in range(len(_idle)):
        try:
            block = _idle.popleft()
        except IndexError:
            return None
        if block.size == size:
            return block
        _idle.append(block)
    return None
