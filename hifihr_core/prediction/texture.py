"""Texture completion: the photo's own pixels on the chart of the hand, the model's texture where the photo is blind.

Each texel of the chart is a point of the posed mesh. Where the camera sees it, the photo's colour divided by the light
that falls there is the albedo, unless that is no colour of this person's skin; elsewhere the model's texture stands,
brought to the tone of the seen part.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.meshes import vertex_normals
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Fragments, interpolate, rasterize, sample_texture

#: A texel further behind the surface seen at its pixel than this is hidden, metres.
_HIDDEN_M = 0.004
#: Cosine between normal and view below which a texel is seen too flatly, and from which it counts in full.
_FACING = (0.15, 0.5)
#: Pixels from the outline at which a texel begins to count, and from which it counts in full.
_OUTLINE_PX = (1.5, 5.0)
#: Log of the ratio to the model's skin up to which a texel counts in full, and from where it does not count.
_BRIGHTER = (0.3, 0.6)
_DARKER = (0.5, 1.0)
_HUE = (0.2, 0.4)
#: Light below this is too dim to divide by.
_MIN_LIGHT = 0.15


@dataclass(frozen=True)
class CompletedTexture:
    """An albedo map and how much of each texel came from the photo (0 to 1)."""

    albedo: Float[Tensor, "3 T T"]
    seen: Float[Tensor, "T T"]


def complete_texture(
    image: UInt8[np.ndarray, "H W 3"],
    vertices_cam: Float[Tensor, "V 3"],
    faces: Tensor,
    K: Float[Tensor, "3 3"],
    appearance: Appearance,
    light: Light,
    *,
    mask: Bool[np.ndarray, "H W"] | None = None,
    texture_px: int = 1024,
) -> CompletedTexture:
    """Lay the photo onto the chart of one hand.

    `image`, `K`, `mask` and `vertices_cam` belong together (for a left hand all mirrored); `mask` leaves out pixels
    that are not hand, such as a held object. Raises ValueError for an appearance without a chart.
    """
    if appearance.uvs is None or appearance.faces_uvs is None:
        raise ValueError("complete_texture: the hand has no UV chart")
    chart = _rasterize_chart(appearance.uvs, appearance.faces_uvs, texture_px)
    vertices, faces = vertices_cam[None], faces.to(torch.int64)
    points = interpolate(vertices, chart, faces)[0].reshape(-1, 3)
    normals = interpolate(vertex_normals(vertices, faces), chart, faces, unit=True)[0].reshape(-1, 3)
    inside = (chart.face[0] >= 0).reshape(-1)
    pixels = project(points.where(inside[:, None], points.new_tensor([0.0, 0.0, 1.0]))[None], K[None])[0]
    weight = _visibility(points, normals, pixels, vertices, faces, K, image.shape[:2], mask) * inside
    radiance = _look_up(image, pixels)
    observed = radiance / _light_at(normals, light)
    toned = _match_tone(_model_texels(appearance, texture_px), observed, weight)
    weight = weight * _likeness(observed, toned)
    albedo = torch.lerp(toned, observed, weight[:, None]).clamp(0, 1)
    albedo = _fill_gutter(albedo.reshape(texture_px, texture_px, 3), chart.face[0] >= 0)
    return CompletedTexture(albedo.permute(2, 0, 1), weight.reshape(texture_px, texture_px))


def _rasterize_chart(uvs: Tensor, faces_uvs: Tensor, texture_px: int) -> Fragments:
    """Draw the chart as a flat mesh at depth 1, so that every texel knows its face and its place on it."""
    flat = torch.stack((uvs[:, 0] * texture_px, (1 - uvs[:, 1]) * texture_px, torch.ones_like(uvs[:, 0])), dim=1)
    K = torch.eye(3, dtype=uvs.dtype, device=uvs.device)
    return rasterize(flat[None], faces_uvs, K[None], height=texture_px, width=texture_px)


def _visibility(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    pixels: Float[Tensor, "N 2"],
    vertices: Float[Tensor, "1 V 3"],
    faces: Tensor,
    K: Float[Tensor, "3 3"],
    size: tuple[int, int],
    mask: np.ndarray | None,
) -> Float[Tensor, " N"]:
    """Return how well the camera sees each texel: 0 hidden, flat or at the outline, 1 in the open."""
    height, width = size
    seen = rasterize(vertices, faces, K[None], height=height, width=width)
    covered = (seen.face[0] >= 0).cpu().numpy()
    if mask is not None:
        covered &= mask
    column, row = pixels.floor().long().unbind(dim=1)
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    open_view = (points[:, 2] - seen.depth[0][row, column]).abs() < _HIDDEN_M
    facing = (normals * torch.nn.functional.normalize(-points, dim=1)).sum(dim=1)
    # A crease in depth inside the hand (a finger before the palm) is an outline as well.
    depth = np.where(covered, seen.depth[0].cpu().numpy(), 0).astype(np.float32)
    steep = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > _HIDDEN_M
    free = (covered & ~steep).astype(np.uint8)
    distance = torch.from_numpy(cv2.distanceTransform(free, cv2.DIST_L2, 5)).to(points.device)[row, column]
    soft = _smoothstep(facing, *_FACING) * _smoothstep(distance.to(points.dtype), *_OUTLINE_PX)
    return soft * (within & open_view)


def _smoothstep(value: Tensor, low: float, high: float) -> Tensor:
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _look_up(image: np.ndarray, pixels: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    grid = pixels.cpu().numpy().astype(np.float32) - 0.5
    side = round(len(grid) ** 0.5)
    grid = grid.reshape(side, side, 2)
    colors = cv2.remap(image, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(colors.reshape(-1, 3)).to(pixels) / 255


def _light_at(normals: Float[Tensor, "N 3"], light: Light) -> Float[Tensor, "N 3"]:
    lambert = (normals @ light.direction[0]).clamp_min(0)
    return (light.ambient[0] + light.color[0] * lambert[:, None]).clamp_min(_MIN_LIGHT)


def _model_texels(appearance: Appearance, texture_px: int) -> Float[Tensor, "N 3"]:
    rows = (torch.arange(texture_px, dtype=appearance.albedo.dtype, device=appearance.albedo.device) + 0.5) / texture_px
    v, u = torch.meshgrid(1 - rows, rows, indexing="ij")
    return sample_texture(appearance.albedo[:1], torch.stack((u, v), dim=-1)[None])[0].reshape(-1, 3)


def _match_tone(model: Tensor, observed: Tensor, weight: Tensor) -> Tensor:
    """Scale the model's texture, per channel, by the median of observed over model among the texels seen well."""
    ratio = (observed / model.clamp_min(1e-3))[weight > 0.5]
    return model * ratio.median(dim=0).values if len(ratio) else model


def _likeness(observed: Float[Tensor, "N 3"], toned: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
    """Return how well each texel could be skin: 1 for the model's own colour, 0 for hair, cloth or a highlight.

    Skin varies more in lightness (shadows, creases) than in hue, so the two have bounds of their own.
    """
    difference = (observed.clamp_min(0.01) / toned.clamp_min(0.01)).log()
    lightness = difference.mean(dim=1, keepdim=True)
    hue = (difference - lightness).abs().amax(dim=1)
    wrong = (
        _smoothstep(lightness[:, 0], *_BRIGHTER),
        _smoothstep(-lightness[:, 0], *_DARKER),
        _smoothstep(hue, *_HUE),
    )
    return (1 - wrong[0]) * (1 - wrong[1]) * (1 - wrong[2])


def _fill_gutter(albedo: Float[Tensor, "T T 3"], inside: Bool[Tensor, "T T"]) -> Float[Tensor, "T T 3"]:
    """Repeat the nearest texel of the chart outside it, so that filtering at the seams finds skin."""
    known = inside.cpu().numpy()
    if not known.any():
        return albedo
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    where = np.zeros(label.max() + 1, dtype=np.int64)
    where[label[known]] = np.flatnonzero(known)
    return albedo.reshape(-1, 3)[torch.from_numpy(where[label]).to(albedo.device)]
