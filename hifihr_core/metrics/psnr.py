"""PSNR of rendered hands over their photos, for a batch on its device, as reported by training and refinement.

This is separate from `hifihr_core.metrics.image`, which takes a second to import because of its other metrics.
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Minimum coverage at which the rest of a pixel is filled with the photo; below, it is black.
LEAST_COVER = 0.5

#: Upper limit of the PSNR of a picture in a batch, decibels, so that a mean exists.
MAX_PSNR_DB = 60.0

Coverage = TypeVar("Coverage", np.ndarray, Tensor)


def photo_part(coverage: Coverage) -> Coverage:
    """Return the fraction of each pixel to fill with the photo, for a hand that covers the fraction `coverage`.

    It is ``1 - coverage``, but 0 if the coverage is below `LEAST_COVER`. Arrays may have any shape.
    """
    return (1 - coverage) * (coverage >= LEAST_COVER)


def hand_psnr(
    on_black: Float[Tensor, "B 3 H W"],
    coverage: Float[Tensor, "B H W"],
    photo: Float[Tensor, "B 3 H W"],
    mask: Bool[Tensor, "B H W"],
) -> Float[Tensor, " B"]:
    """Return the PSNR of `strict_metrics` in decibels, at most `MAX_PSNR_DB`, which is also that of an empty mask."""
    shown = photo_part(coverage)[:, None] * photo
    squared = ((on_black + shown).clamp(0, 1) - photo).square().mean(dim=1) * mask
    mean = squared.sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp(min=1)
    return -10 * torch.log10(mean.clamp(min=10 ** (-MAX_PSNR_DB / 10)))
