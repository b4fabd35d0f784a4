"""Texture completion: the inferred skin of a person, and the photos' own detail where it can be trusted.

Each texel of the chart is a point of the posed mesh. Where a camera sees it well, the photo's colour over the light
that falls there observes its albedo; how far it can be trusted depends on the view, the distance from outlines, and on
whether the colour is one of skin: skin varies along melanin and blood, and little across. What is trusted moves the
model's skin (already inferred from all of the evidence, so the unseen side has the same tone) to the photo's detail;
elsewhere the model's skin stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.meshes import vertex_normals
from hifihr_core.prediction.look.skin_evidence import smoothstep
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Fragments, interpolate, rasterize, sample_texture, self_shade
from hifihr_core.rendering.skylight import light_at

#: A texel further behind the surface seen at its pixel than this is hidden, metres.
_HIDDEN_M = 0.004
#: Cosine between normal and view below which a texel is seen too flatly, and from which it counts in full.
_FACING = (0.2, 0.6)
#: Distance from the outline at which a texel begins to count, and from which it counts in full, in widths of the crop.
_OUTLINE = (0.012, 0.045)
#: The part of the drawn hand that the mask covers below which the fit is not believed, and from which it is.
_FIT = (0.75, 0.92)
#: Light below this is too dim to divide by.
_MIN_LIGHT = 0.1
#: A pixel with a channel above this may be cut off by the camera.
_WHITE = (0.92, 0.99)
#: Directions of log colour in which skin varies: melanin, and blood (less green and blue, more red).
_MELANIN, _BLOOD = (0.467, 0.581, 0.667), (0.875, -0.446, -0.224)
#: Log ratio to the model's skin along each direction up to which a texel counts in full, and from where not at all.
_BRIGHTER, _DARKER, _REDDER, _FOREIGN = (0.2, 0.5), (0.7, 1.3), (0.12, 0.3), (0.07, 0.16)
#: An error of the light moves all texels alike: this much of it is taken out before a colour is judged.
_SHARED = 0.15
#: Of differences smoother than this part of the chart most may be light that was not understood, and is left out.
_SMOOTH, _KEPT = 1 / 40, 0.3
#: Fine detail brighter or darker than this (log) is rather a glint or a gap than skin.
_BRIGHT_DETAIL, _DARK_DETAIL = 0.12, 0.5
#: Trust is lost smoothly, over this part of the chart, so that its borders are no lines.
_SOFT = 1 / 120


@dataclass(frozen=True)
class View:
    """One photo of a hand, by a crop: picture, surface and light belong together (for a left hand all mirrored).

    `mask` are the pixels that may be skin; None for all that the mesh covers. `light` has a batch of one.
    """

    image: UInt8[np.ndarray, "H W 3"]
    vertices_cam: Float[Tensor, "V 3"]
    K: Float[Tensor, "3 3"]
    light: Light
    mask: Bool[np.ndarray, "H W"] | None = None


@dataclass(frozen=True)
class CompletedTexture:
    """An albedo map, how much of each texel comes from a photo (0 to 1), and the mean of that over the hand's
    surface.
    """

    albedo: Float[Tensor, "3 T T"]
    seen: Float[Tensor, "T T"]
    seen_share: float


def complete_texture(
    views: Sequence[View], faces: Tensor, appearance: Appearance, *, texture_px: int = 1024
) -> CompletedTexture:
    """Project photos of one hand onto its chart; `appearance` (a batch of one) is the inferred skin.

    Raises: ValueError for an appearance without a chart.
    """
    if appearance.uvs is None or appearance.faces_uvs is None:
        raise ValueError("complete_texture: the hand has no UV chart")
    chart = _rasterize_chart(appearance.uvs, appearance.faces_uvs, texture_px)
    inside, faces = chart.face[0] >= 0, faces.to(torch.int64)
    model = _model_texels(appearance, texture_px)
    total, moved, unseen = model.new_zeros(len(model)), torch.zeros_like(model), model.new_ones(len(model))
    for view in views:
        change, weight = _observe(view, chart, faces, model)
        weight = weight * inside.reshape(-1)
        total, moved = total + weight.square(), moved + weight.square()[:, None] * change
        unseen = unseen * (1 - weight)
    change, weight = moved / total.clamp_min(1e-9)[:, None], 1 - unseen
    albedo = (model * _detail(change, weight, texture_px).exp()).clamp(0, 1)
    albedo = _fill_gutter(albedo.reshape(texture_px, texture_px, 3), inside)
    area = _texel_areas(views[0].vertices_cam, chart, faces) if views else inside.reshape(-1).to(weight)
    share = float((weight * area).sum() / area.sum().clamp_min(1e-12))
    return CompletedTexture(albedo.permute(2, 0, 1), weight.reshape(texture_px, texture_px), share)


def _observe(view: View, chart: Fragments, faces: Tensor, model: Float[Tensor, "N 3"]) -> tuple[Tensor, Tensor]:
    """Return the log ratio (N, 3) of what a view shows of each texel to the model's skin, and its trust (N)."""
    vertices = view.vertices_cam[None]
    normals_v = vertex_normals(vertices, faces)
    points = interpolate(vertices, chart, faces)[0].reshape(-1, 3)
    normals = interpolate(normals_v, chart, faces, unit=True)[0].reshape(-1, 3)
    inside = (chart.face[0] >= 0).reshape(-1)
    pixels = project(points.where(inside[:, None], points.new_tensor([0.0, 0.0, 1.0]))[None], view.K[None])[0]
    trust = _visibility(points, normals, pixels, vertices, faces, view)
    radiance = _look_up(view.image, pixels)
    change = (radiance.clamp_min(0.01) / (_level(view, faces, chart, normals) * model.clamp_min(0.01))).log()
    trust = trust * inside * (1 - smoothstep(radiance.amax(dim=1), *_WHITE))
    return change, trust * _likeness(change, trust)


def _level(view: View, faces: Tensor, chart: Fragments, normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Return the light on each texel, past the rest of the hand."""
    light = view.light
    shade = self_shade(view.vertices_cam[None], faces, light.direction)
    parts = torch.stack((shade.sky, shade.sun), dim=-1)
    reach = interpolate(parts, chart, faces)[0].reshape(-1, 2)
    lamp = light.color * (normals @ light.direction[0]).clamp_min(0)[:, None]
    sky = light_at(normals[None], Light(light.ambient, torch.zeros_like(light.color), light.direction, light.sky))[0]
    return (sky * reach[:, :1] + lamp * reach[:, 1:]).clamp_min(_MIN_LIGHT)


def _rasterize_chart(uvs: Tensor, faces_uvs: Tensor, texture_px: int) -> Fragments:
    """Draw the chart as a flat mesh at depth 1, so that every texel has its face and its place on it."""
    flat = torch.stack((uvs[:, 0] * texture_px, (1 - uvs[:, 1]) * texture_px, torch.ones_like(uvs[:, 0])), dim=1)
    K = torch.eye(3, dtype=uvs.dtype, device=uvs.device)
    return rasterize(flat[None], faces_uvs, K[None], height=texture_px, width=texture_px)


def _texel_areas(vertices: Float[Tensor, "V 3"], chart: Fragments, faces: Tensor) -> Float[Tensor, " N"]:
    """Return the part of the surface that each texel covers, up to a factor; 0 outside the chart."""
    corner = vertices[faces]
    area = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]).norm(dim=1)
    face = chart.face[0].reshape(-1).long()
    texels = torch.bincount(face.clamp_min(0), weights=(face >= 0).to(area), minlength=len(area))
    return (area / texels.clamp_min(1))[face.clamp_min(0)] * (face >= 0)


def _visibility(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    pixels: Float[Tensor, "N 2"],
    vertices: Float[Tensor, "1 V 3"],
    faces: Tensor,
    view: View,
) -> Float[Tensor, " N"]:
    """Return how well the camera sees each texel: 0 hidden, flat or at the outline, 1 in the open."""
    height, width = view.image.shape[:2]
    seen = rasterize(vertices, faces, view.K[None], height=height, width=width)
    covered, fit = (seen.face[0] >= 0).cpu().numpy(), 1.0
    if view.mask is not None:
        share = (covered & view.mask).sum() / max(1, covered.sum())
        fit, covered = float(smoothstep(points.new_tensor(share), *_FIT)), covered & view.mask
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
    soft = smoothstep(facing, *_FACING) * smoothstep(distance.to(points.dtype) / width, *_OUTLINE)
    return soft * (within & open_view) * fit


def _look_up(image: np.ndarray, pixels: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    grid = pixels.cpu().numpy().astype(np.float32) - 0.5
    side = round(len(grid) ** 0.5)
    grid = grid.reshape(side, side, 2)
    colors = cv2.remap(image, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(colors.reshape(-1, 3)).to(pixels) / 255


def _model_texels(appearance: Appearance, texture_px: int) -> Float[Tensor, "N 3"]:
    rows = (torch.arange(texture_px, dtype=appearance.albedo.dtype, device=appearance.albedo.device) + 0.5) / texture_px
    v, u = torch.meshgrid(1 - rows, rows, indexing="ij")
    return sample_texture(appearance.albedo[:1], torch.stack((u, v), dim=-1)[None])[0].reshape(-1, 3)


def _likeness(change: Float[Tensor, "N 3"], trust: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return how well each texel could be this skin: 1 for the model's own, 0 for hair, cloth, a face or a highlight.

    `change` is the log ratio to the model. It is split along melanin, along blood, and across both.
    """
    well = trust > 0.5
    shared = change[well].median(dim=0).values.clamp(-_SHARED, _SHARED) if bool(well.any()) else change.new_zeros(3)
    left = change - shared
    melanin, blood = left.new_tensor(_MELANIN), left.new_tensor(_BLOOD)
    along, redder = left @ melanin, left @ blood
    across = (left - along[:, None] * melanin - redder[:, None] * blood).norm(dim=1)
    wrong = (
        smoothstep(along, *_BRIGHTER),
        smoothstep(-along, *_DARKER),
        smoothstep(redder.abs(), *_REDDER),
        smoothstep(across, *_FOREIGN),
    )
    return (1 - wrong[0]) * (1 - wrong[1]) * (1 - wrong[2]) * (1 - wrong[3])


def _detail(change: Float[Tensor, "N 3"], weight: Float[Tensor, " N"], texture_px: int) -> Float[Tensor, "N 3"]:
    """Return the log factor on the model: fine differences where trusted, and part of the smooth ones.

    Both only along the directions in which skin varies.
    """
    shape = (texture_px, texture_px)
    axes = np.array([_MELANIN, _BLOOD], np.float32)
    w = weight.reshape(*shape, 1).cpu().numpy().astype(np.float32)
    values = (change.reshape(*shape, 3).cpu().numpy().astype(np.float32) @ axes.T) @ axes
    sigma = max(1.0, _SMOOTH * texture_px)
    around = cv2.GaussianBlur(w, (0, 0), sigma)[..., None]
    smooth = cv2.GaussianBlur(values * w, (0, 0), sigma) / np.maximum(around, 1e-4)
    fine = values - smooth
    fine = np.where(
        fine > 0, _BRIGHT_DETAIL * np.tanh(fine / _BRIGHT_DETAIL), _DARK_DETAIL * np.tanh(fine / _DARK_DETAIL)
    )
    eroded = cv2.erode(w, np.ones((3, 3), np.uint8))
    soft = np.minimum(w[..., 0], cv2.GaussianBlur(eroded, (0, 0), max(0.5, _SOFT * texture_px)))[..., None]
    return torch.from_numpy((soft * (fine + _KEPT * smooth)).reshape(-1, 3)).to(change)


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
