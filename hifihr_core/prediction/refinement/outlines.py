"""Outlines of hands in images, and the pairing of their points."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

#: Number of points sampled on an outline.
_POINTS = 256
#: Width of the blur from which outline directions are computed, in half-size pixels.
_BLUR = 5
#: Points whose directions differ by more than this (cosine) are on different sides of a finger.
_SAME_SIDE = 0.3


@dataclass(frozen=True)
class Outline:
    """Points on the outlines of masks: N evenly spread pixels on the inner side of each outline.

    `points_px` are the centres of those pixels, `normals` point outwards, and ``place[b, n]`` is the row-major pixel
    index. For a mask without an outline, `known` is False and the points are meaningless.
    """

    points_px: Float[Tensor, "B N 2"]
    normals: Float[Tensor, "B N 2"]
    place: Int[Tensor, "B N"]
    known: Bool[Tensor, " B"]


@dataclass(frozen=True)
class Pairs:
    """M pairs of an outline point (its index `of`) and a target point with the normal of its outline.

    `counts` is 1, or 0 for a pair whose points are too far apart or whose outlines face in different directions.
    """

    of: Int[Tensor, "B M"]
    target_px: Float[Tensor, "B M 2"]
    normals: Float[Tensor, "B M 2"]
    counts: Float[Tensor, "B M"]


def find_outline(mask: Bool[Tensor, "B H W"], allowed: Bool[Tensor, "B H W"]) -> Outline:
    """Return the outline of each mask in the area `allowed`; the border of the image is not an outline."""
    width = mask.shape[-1]
    padded = functional.pad(mask[:, None].float(), (1, 1, 1, 1), mode="replicate")[:, 0] > 0.5
    inner = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    rows = [_spread(row) for row in (mask & ~inner & allowed).flatten(1)]
    place = torch.stack([index for index, _ in rows])
    known = torch.tensor([found for _, found in rows], device=mask.device)
    points = torch.stack((place % width, place // width), dim=-1).float() + 0.5
    return Outline(points, _normals(mask, place), place, known)


def _spread(edge: Bool[Tensor, " P"]) -> tuple[Int[Tensor, " N"], bool]:
    """Return the indices of N evenly chosen edge pixels, and whether there are any."""
    found = edge.nonzero()[:, 0]
    if not len(found):
        return torch.zeros(_POINTS, dtype=torch.int64, device=edge.device), False
    return found[torch.linspace(0, len(found) - 1, _POINTS, device=edge.device).round().long()], True


def _normals(mask: Bool[Tensor, "B H W"], place: Int[Tensor, "B N"]) -> Float[Tensor, "B N 2"]:
    """Return the outward unit normal of each mask at some pixels."""
    width = mask.shape[-1]
    soft = functional.avg_pool2d(mask[:, None].float(), 2, ceil_mode=True)
    for _ in range(2):
        for kernel in ((_BLUR, 1), (1, _BLUR)):
            padding = (kernel[0] // 2, kernel[1] // 2)
            soft = functional.avg_pool2d(soft, kernel, stride=1, padding=padding, count_include_pad=False)
    row, column, half_width = place // width // 2, place % width // 2, soft.shape[-1]

    def at(down: int, across: int) -> Float[Tensor, "B N"]:
        rows = (row + down).clamp(0, soft.shape[-2] - 1)
        return soft.flatten(1).gather(1, rows * half_width + (column + across).clamp(0, half_width - 1))

    slope = torch.stack((at(0, 1) - at(0, -1), at(1, 0) - at(-1, 0)), dim=-1)
    return -functional.normalize(slope, dim=-1)


def pair_outlines(own: Outline, wanted: Outline, *, reach_px: float) -> Pairs:
    """Return a pair for each point on either outline: the point and the nearest one on the other outline.

    The outlines must face in similar directions there. Pairs farther apart than `reach_px` do not count. Pairs of the
    points on `own` are first, then those of the points on `wanted`.
    """
    apart = torch.cdist(own.points_px, wanted.points_px)
    alike = own.normals @ wanted.normals.mT
    distance = apart + reach_px * (alike < _SAME_SIDE)
    there, back = distance.min(dim=2), distance.min(dim=1)
    every = torch.arange(own.place.shape[1], device=apart.device).expand_as(own.place)
    of, to = torch.cat((every, back.indices), dim=1), torch.cat((there.indices, every), dim=1)
    near = torch.cat((there.values, back.values), dim=1) < reach_px
    pick = to[..., None].expand(-1, -1, 2)
    both = (own.known & wanted.known)[:, None]
    return Pairs(of, wanted.points_px.gather(1, pick), wanted.normals.gather(1, pick), (near & both).float())
