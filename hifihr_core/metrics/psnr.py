"""PSNR of hands over their photos, for a batch on its device, as reported by training and refinement.

Separate from `hifihr_core.metrics.image`, whose other metrics take a second to import.
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: From this coverage on, the rest of a pixel shows the photo; below, it is black.
LEAST_COVER = 0.5

#: Upper limit of the PSNR of a picture in a batch, decibels, so that a mean exists.
MAX_PSNR_DB = 60.0

Coverage = TypeVar("Coverage", np.ndarray, Tensor)


def photo_part(coverage: Coverage) -> Coverage:
    """Return the fraction of each pixel that shows the photo, given the hand's coverage; any shape."""
    return (1 - coverage) * (coverage >= LEAST_COVER)


def hand_psnr(
    on_black: Float[Tensor, "B 3 H W"],
    coverage: Float[Tensor, "B H W"],
    photo: Float[Tensor, "B 3 H W"],
    mask: Bool[Tensor, "B H W"],
) -> Float[Tensor, " B"]:
    """Return the PSNR of `strict_metrics` for a batch on its device, capped at `MAX_PSNR_DB` (as for an empty mask)."""
    shown = photo_part(coverage)[:, None] * photo
    squared = ((on_black + shown).clamp(0, 1) - photo).square().mean(dim=1) * mask
    mean = squared.sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp(min=1)
    return -10 * torch.log10(mean.clamp(min=10 ** (-MAX_PSNR_DB / 10)))
