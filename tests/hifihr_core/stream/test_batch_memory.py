"""Memory of batches is reused once nothing refers to it, and never before."""

import numpy as np
import torch

from hifihr_core.stream import batch_memory
from hifihr_core.stream.batch_memory import MOST_IDLE, recycled


def address(array):
    return array.ctypes.data


def test_unreferenced_memory_is_reused():
    batch_memory._idle.clear()
    first = recycled((3, 5), np.float32)
    where = address(first)
    del first
    again = recycled((5, 3), np.float32)
    assert address(again) == where
    assert again.shape == (5, 3)
    assert again.dtype == np.float32


def test_held_frames_are_unchanged():
    """A tensor over a part of the memory, through several views, still keeps it alive."""
    first = recycled((4, 8, 3), np.uint8)
    first[:] = 7
    held = torch.from_numpy(first).permute(2, 0, 1)[1:]
    del first
    others = [recycled((4, 8, 3), np.uint8) for _ in range(20)]
    for other in others:
        other[:] = 0
    assert (held == 7).all()


def test_only_a_few_blocks_wait():
    held = [recycled((n + 1, 4), np.uint8) for n in range(3 * MOST_IDLE)]
    del held
    assert len(batch_memory._idle) <= MOST_IDLE
