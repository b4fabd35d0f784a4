"""Texture metrics: how close the rendered hand looks to the photo, under two named protocols.

Pictures are RGB, (H, W, 3) float in [0, 1], at the resolution of the network's input. The protocol `paper` is that of
HiFiHR's code, applied to one picture at a time (HiFiHR's published numbers depend on the size of the validation batch);
`strict` considers only the hand. docs/evaluation.md defines both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from skimage.metrics import structural_similarity

from hifihr_core.metrics.perceptual import LPIPS_MIN_PX, Lpips
from hifihr_core.metrics.psnr import photo_part

TEXTURE_METRICS = ("l1", "l2", "psnr", "ssim", "lpips")

#: Radius of the 11 x 11 Gaussian window with sigma 1.5 (Wang et al. 2004).
_WINDOW_RADIUS = 5

Picture = Float[np.ndarray, "H W 3"]
Mask = Bool[np.ndarray, "H W"]


@dataclass(frozen=True)
class TexturePair:
    """The input of both protocols: the rendered hand on white and on black, and the photo.

    `coverage` is the fraction of each pixel that the rendered hand covers.
    """

    on_white: Picture
    on_black: Picture
    photo: Picture
    coverage: Float[np.ndarray, "H W"]


def paper_metrics(pair: TexturePair, *, mask: Mask, lpips: Lpips | None) -> dict[str, float | None]:
    """Return HiFiHR's texture metrics: render and photo are multiplied by `mask`, then compared over the whole picture.

    `mask` is the true one for FreiHAND, the rendered silhouette for HO-3D. Where the rendered hand does not cover the
    mask, the render is white, like the background of HiFiHR's renderer. The render is not clipped to [0, 1]. `lpips` is
    None in the result if no network is given.
    """
    kept = mask[..., None].astype(np.float64)
    rendered, photo = pair.on_white * kept, pair.photo * kept
    l2 = float(np.square(rendered - photo).mean())
    return {
        "l1": float(np.abs(rendered - photo).mean()),
        "l2": l2,
        "psnr": _psnr(l2),
        "ssim": float(_ssim_zero_padded(rendered, photo).mean()),
        "lpips": _lpips(rendered, photo, lpips),
    }


def strict_metrics(pair: TexturePair, *, mask: Mask, lpips: Lpips | None) -> dict[str, float | None]:
    """Return texture metrics on the true hand only, and how well the rendered hand covers it.

    L1, L2 and PSNR are over the pixels of the true mask, SSIM and LPIPS over a tight crop around the mask, with
    everything outside the mask black in both pictures. If the rendered hand covers half of a pixel or more, the rest of
    the pixel is filled with the photo, otherwise with black: an estimate of a hand does not include the background, and
    on black, even a perfect hand would score a PSNR of only 26 dB at 96 pixels and 30 dB at 224. The render is clipped
    to [0, 1]. `coverage` is the fraction of the true mask that is rendered, `iou` the intersection over union of the
    two silhouettes. `lpips` is None in the result if no network is given.
    Raises: ValueError if the mask is empty.
    """
    if not mask.any():
        raise ValueError("mask is empty, expected at least one pixel of the hand")
    shown = photo_part(pair.coverage)[..., None] * pair.photo
    rendered = (pair.on_black + shown).clip(0, 1)
    difference = rendered[mask] - pair.photo[mask]
    l2 = float(np.square(difference).mean())
    rows, columns = tight_crop(mask)
    kept = mask[rows, columns, None].astype(np.float64)
    crop, photo = rendered[rows, columns] * kept, pair.photo[rows, columns] * kept
    covered = pair.coverage[mask].sum()
    return {
        "l1": float(np.abs(difference).mean()),
        "l2": l2,
        "psnr": _psnr(l2),
        "ssim": float(_ssim_map(crop, photo).mean()),
        "lpips": _lpips(crop, photo, lpips),
        "coverage": float(covered / mask.sum()),
        "iou": float(covered / (mask.sum() + pair.coverage[~mask].sum())),
    }


def tight_crop(mask: Mask, *, least_px: int = LPIPS_MIN_PX) -> tuple[slice, slice]:
    """Return the rows and columns of the mask's bounding box, extended to `least_px` if the picture is large enough."""
    rows, columns = (np.asarray(mask.any(axis=axis)) for axis in (1, 0))
    return _span(rows, least_px), _span(columns, least_px)


def average_metrics(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each metric over the pictures for which it was computed; None if there are none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    means: dict[str, float | None] = {}
    for name in names:
        values = [value for row in rows if (value := row.get(name)) is not None]
        means[name] = float(np.mean(values)) if values else None
    return means


def _span(hit: Bool[np.ndarray, " N"], least: int) -> slice:
    first, last = int(hit.argmax()), len(hit) - int(hit[::-1].argmax())
    missing = max(0, min(least, len(hit)) - (last - first))
    first = min(max(0, first - missing // 2), len(hit) - (last - first + missing))
    return slice(first, max(last, first + min(least, len(hit))))


def _psnr(l2: float) -> float:
    """Return the PSNR for a mean squared error of pictures in [0, 1], decibels; infinite for identical pictures."""
    return float(-10 * np.log10(l2)) if l2 > 0 else float("inf")


def _ssim_map(a: Picture, b: Picture) -> Picture:
    """Return SSIM per pixel and channel: Gaussian window, C1 = 1e-4, C2 = 9e-4, borders mirrored."""
    _, similarity = structural_similarity(
        a,
        b,
        data_range=1.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return similarity


def _ssim_zero_padded(a: Picture, b: Picture) -> Picture:
    """Return SSIM per pixel and channel, with zeros beyond the borders of the pictures."""
    pad = 2 * _WINDOW_RADIUS
    border = ((pad, pad), (pad, pad), (0, 0))
    return _ssim_map(np.pad(a, border), np.pad(b, border))[pad:-pad, pad:-pad]


def _lpips(a: Picture, b: Picture, lpips: Lpips | None) -> float | None:
    if lpips is None:
        return None
    first, second = (torch.from_numpy(picture).float().permute(2, 0, 1)[None] for picture in (a, b))
    return float(lpips(first, second)[0])
