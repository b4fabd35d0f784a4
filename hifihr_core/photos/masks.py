"""Segment the skin of a hand in its crop: GrabCut, initialised from the rendered hand.

Source: Rother et al., "GrabCut: interactive foreground extraction using iterated graph cuts", SIGGRAPH 2004; OpenCV's
implementation.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from hifihr_core.machine.device import side_by_side

_ITERATIONS = 3
#: Colour clusters are initialised at random, which affects the mask in some pictures, so several starts vote: the first
#: number of them if they agree on all but this fraction of the hand, else the second number.
_STARTS, _AGREED = (2, 5), 0.005
#: Pixels farther from the rendered hand than `WIDE` are background; for a hand that is known to fit, farther than
#: `NARROW`, so that gaps between its fingers also count as background. Those more than half of `_DEPTH` inside are
#: hand. As fractions of the square root of the hand's area.
WIDE, NARROW, _DEPTH = 1 / 8, 1 / 12, 1 / 8
#: On rendered hands in crops of 224 pixels, skin and light from masks of this size are as accurate as from larger ones.
_QUICK_PX = 56


def segment_hands(
    image: Float[Tensor, "B 3 H W"],
    silhouette: Float[Tensor, "B H W"],
    *,
    reach: float = WIDE,
    starts: Sequence[int] = _STARTS,
) -> Bool[Tensor, "B H W"]:
    """Return the pixels that look like the hand under the silhouette, up to `reach` (see `WIDE`) away from it.

    Pixels well inside the silhouette count as hand, those far outside as background, and colour decides the rest, by a
    majority of random starts: as many as the first number in `starts`, or the second if those disagree. If nothing can
    be decided (no hand in the crop, or no background) the silhouette itself is returned.
    """
    pictures = (image.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    trimaps = [_trimap(drawn, reach) for drawn in (silhouette > 0.5).cpu().numpy()]
    votes: list[list[np.ndarray]] = [[] for _ in trimaps]
    for count in starts:
        open_ones = [hand for hand, cast in enumerate(votes) if _disagree(cast)]
        jobs = [(hand, seed) for hand in open_ones for seed in range(len(votes[hand]), count)]
        cast = side_by_side(lambda job: _segment(pictures[job[0]], trimaps[job[0]], seed=job[1]), jobs)
        for (hand, _), vote in zip(jobs, cast, strict=True):
            votes[hand].append(vote)
    masks = [2 * np.sum(cast, axis=0) > len(cast) for cast in votes]
    return torch.from_numpy(np.stack(masks)).to(image.device)


def _disagree(votes: Sequence[np.ndarray]) -> bool:
    """Return whether the votes on a mask differ in too many pixels, so that more are needed."""
    if not votes:
        return True
    some, every = np.any(votes, axis=0), np.all(votes, axis=0)
    return bool((some & ~every).sum() > _AGREED * some.sum())


def segment_quickly(image: Float[Tensor, "B 3 H W"], covered: Bool[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """Return nearly the mask of `segment_hands`, computed at half the size or less: for colours, not for outlines."""
    size = image.shape[-2:]
    less = tuple(min(side // 2, _QUICK_PX) for side in size)
    small = functional.interpolate(image, size=less, mode="area")
    drawn = functional.interpolate(covered[:, None].to(image), size=less, mode="area")[:, 0]
    mask = segment_hands(small, drawn, starts=(1,))[:, None].to(image)
    return functional.interpolate(mask, size=size, mode="bilinear")[:, 0] > 0.5


def _segment(picture: np.ndarray, trimap: np.ndarray, seed: int) -> np.ndarray:
    if (trimap == cv2.GC_FGD).any() and (trimap == cv2.GC_BGD).any():
        trimap = trimap.copy()
        cv2.setRNGSeed(seed)
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(
            cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
            trimap,
            (0, 0, 0, 0),  # no rectangle: the mask is the whole initialisation
            background,
            foreground,
            _ITERATIONS,
            cv2.GC_INIT_WITH_MASK,
        )
    return (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)


def _trimap(drawn: np.ndarray, reach: float) -> np.ndarray:
    """Return GrabCut's initial labels: hand well inside the drawn one, background far outside, probable in between."""
    size = np.sqrt(drawn.sum())
    outside, inside = (max(2, round(part * size)) for part in (reach, _DEPTH))
    core = cv2.erode(drawn.astype(np.uint8), _disc(inside | 1))
    near = cv2.dilate(drawn.astype(np.uint8), _disc(2 * outside + 1))
    trimap = np.where(drawn, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[near == 0] = cv2.GC_BGD
    trimap[core == 1] = cv2.GC_FGD
    return trimap


def _disc(width: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))


def beyond_wrist(joints_px: Float[Tensor, "B 21 2"], *, height: int, width: int) -> Bool[Tensor, "B H W"]:
    """Return the pixels on the forearm's side of the wrist, where a hand model has no surface.

    The dividing line runs through the wrist, at right angles to the line from the wrist to the middle MCP.
    """
    wrist, palm = joints_px[:, 0], joints_px[:, 9]
    axis = functional.normalize(wrist - palm, dim=1)
    rows = torch.arange(height, device=joints_px.device) + 0.5
    columns = torch.arange(width, device=joints_px.device) + 0.5
    along = (columns[None, None] - wrist[:, 0, None, None]) * axis[:, 0, None, None]
    return along + (rows[None, :, None] - wrist[:, 1, None, None]) * axis[:, 1, None, None] > 0
