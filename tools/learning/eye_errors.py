"""The expected error of the eyes' joints on rendered hands, as the eyes estimate it on photos."""

import numpy as np
import torch
from torch import Tensor

from hifihr_core.eyes.looks import sigma_of
from hifihr_core.lifting.seen_batch import SeenHands

#: A typical presence; its value hardly matters.
_PRESENCE = 0.98


def sigma_px(seen: SeenHands, which: Tensor) -> Tensor:
    """Return the standard deviation of each joint along an axis, pixels."""
    points = seen.looks_px[which].mean(dim=1)
    size = (points.amax(dim=1) - points.amin(dim=1)).amax(dim=1, keepdim=True)
    sigma = sigma_of((seen.spread_px(which) / size).numpy().astype(np.float64), _PRESENCE)
    return torch.from_numpy(np.asarray(sigma)).float() * size
