"""Averages of weights and factors of learning rates, as every training of the package uses them."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def average_decay(step: int, decay: float) -> float:
    """Return the decay of a moving average at a step; a young average forgets faster, so the start soon fades."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def move_towards(mean: Mapping[str, Tensor], new: Mapping[str, Tensor], *, decay: float) -> None:
    """Move every tensor of `mean` towards its namesake in `new`, in place; whole numbers (counters) are copied."""
    for name, value in new.items():
        kept = mean[name]
        if kept.is_floating_point():
            kept.lerp_(value, 1 - decay)
        else:
            kept.copy_(value)


def warm_up(step: int, steps: int) -> float:
    """Return the factor of a learning rate that rises along a straight line over the first `steps` steps."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


def half_cosine(done: float, *, end: float = 0.0) -> float:
    """Return the factor of a learning rate that falls from 1 to `end` along half a cosine; `done` is in [0, 1]."""
    return end + (1 - end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
