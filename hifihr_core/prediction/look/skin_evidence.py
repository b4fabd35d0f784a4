"""Collect what a photo shows of a hand's skin: the colour of every clearly visible vertex, and the surroundings."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.meshes import vertex_normals
from hifihr_core.rendering import Fragments, rasterize
from hifihr_core.rendering.self_shade import sky_shade, vertex_areas

#: A vertex further behind the surface seen at its pixel than this is hidden, metres.
_HIDDEN_M = 0.004
#: Cosine between normal and view below which skin is too oblique to count, and from which it counts fully.
_FACING = (0.15, 0.5)
#: Distance from the outline at which skin begins to count, and from which it counts fully, in crop widths.
_OUTLINE = (0.006, 0.025)


@dataclass(frozen=True)
class SkinEvidence:
    """Colours of hands' vertices in their crops, and how much each vertex counts.

    `weight` is 0 for vertices that are hidden, seen too obliquely, too near to an outline, or outside the mask.
    `normals` are in the camera frame of the crop, `open_sky` is the fraction of the sky that reaches a vertex, and
    `surroundings` the log of the mean colour around the hand, NaN if the crop shows too little around it.
    """

    colors: Float[Tensor, "B V 3"]
    weight: Float[Tensor, "B V"]
    normals: Float[Tensor, "B V 3"]
    open_sky: Float[Tensor, "B V"]
    surroundings: Float[Tensor, "B 3"]


@torch.no_grad()
def look_at_skin(
    image: Float[Tensor, "B 3 H W"],
    vertices_cam: Float[Tensor, "B V 3"],
    faces: Tensor,
    K: Float[Tensor, "B 3 3"],
    *,
    mask: Bool[Tensor, "B H W"] | None = None,
    seen: Fragments | None = None,
) -> SkinEvidence:
    """Return what crops (RGB in [0, 1]) show of the skin of hands; `mask` excludes pixels that are not skin.

    `seen` is the result of `rasterize` for these hands; without it, they are rasterised here.
    """
    height, width = image.shape[-2:]
    seen = rasterize(vertices_cam, faces, K, height=height, width=width) if seen is None else seen
    covered = seen.face >= 0
    normals = vertex_normals(vertices_cam, faces)
    pixels = project(vertices_cam, K)
    grid = pixels / pixels.new_tensor([width / 2, height / 2]) - 1
    free = covered if mask is None else covered & mask
    distance = _distance(free, seen.depth.where(covered, 0.0)).to(image) / width
    nearest = torch.stack((seen.depth.where(covered, torch.inf), distance), dim=1)
    depth, inward = _pick(nearest, pixels)
    facing = -(normals * functional.normalize(vertices_cam, dim=-1)).sum(dim=-1)
    weight = smoothstep(facing, *_FACING) * smoothstep(inward, *_OUTLINE)
    weight = weight * ((vertices_cam[..., 2] - depth).abs() < _HIDDEN_M)
    areas = vertex_areas(vertices_cam, faces)
    colors = functional.grid_sample(image, grid[:, :, None], padding_mode="border", align_corners=False)[..., 0].mT
    share = weight * areas * facing.clamp_min(0)
    return SkinEvidence(colors, share, normals, sky_shade(vertices_cam, normals, areas), _surroundings(image, covered))


def smoothstep(value: Tensor, low: float, high: float) -> Tensor:
    """Return 0 below `low`, 1 above `high`, and a smooth ramp in between."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _pick(planes: Float[Tensor, "B 2 H W"], pixels: Float[Tensor, "B V 2"]) -> tuple[Tensor, Tensor]:
    """Return depth and distance from the outline, the two `planes`, at some pixels; outside the image, inf and 0."""
    height, width = planes.shape[-2:]
    column, row = pixels.floor().long().unbind(dim=-1)
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    depth, inward = (plane.flatten(1).gather(1, index) for plane in planes.unbind(1))
    return depth.where(within, torch.inf), inward.where(within, 0.0)


def _distance(free: Bool[Tensor, "B H W"], depth: Float[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Return the distance in pixels to the nearest outline: the border of `free`, or a depth step inside the hand."""
    rows = []
    for one, deep in zip(free.cpu().numpy(), depth.float().cpu().numpy(), strict=True):
        steep = cv2.morphologyEx(deep, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > _HIDDEN_M
        rows.append(cv2.distanceTransform((one & ~steep).astype(np.uint8), cv2.DIST_L2, 5))
    return torch.from_numpy(np.stack(rows))


def _surroundings(image: Float[Tensor, "B 3 H W"], covered: Bool[Tensor, "B H W"]) -> Float[Tensor, "B 3"]:
    """Return the log of the mean colour outside the hand and a margin around it; NaN if this area is too small."""
    near = np.stack([cv2.dilate(one, np.ones((9, 9), np.uint8)) for one in covered.to(torch.uint8).cpu().numpy()])
    around = torch.from_numpy(1 - near).to(image)
    count = around.sum(dim=(1, 2))
    mean = (image * around[:, None]).sum(dim=(2, 3)) / count[:, None].clamp_min(1)
    enough = count > 0.02 * around[0].numel()
    return mean.clamp_min(0.01).log().where(enough[:, None], torch.nan)
