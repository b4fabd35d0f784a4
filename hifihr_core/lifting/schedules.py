"""Weight averages and learning-rate factors for all training in the package."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def average_decay(step: int, decay: float) -> float:
    """Return the decay of a moving average at a step; it is lower at first, so that the initial weights fade soon."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def move_towards(mean: Mapping[str, Tensor], new: Mapping[str, Tensor], *, decay: float) -> None:
    """Move every tensor of `mean` towards its counterpart in `new`, in place; integers (counters) are copied."""
    for name, value in new.items():
        kept = mean[name]
        if kept.is_floating_point():
            kept.lerp_(value, 1 - decay)
        else:
            kept.copy_(value)


def warm_up(step: int, steps: int) -> float:
    """Return the learning-rate factor of a linear warm-up over the first `steps` steps."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


def half_cosine(done: float, *, end: float = 0.0) -> float:
    """Return the learning-rate factor of a half-cosine decay from 1 to `end`, at a share `done` of the run."""
    return end + (1 - end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
