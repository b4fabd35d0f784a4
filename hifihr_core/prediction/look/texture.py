"""Texture completion: a person's inferred skin, plus detail from the photos where it can be trusted.

Each texel of the UV chart is a point of the posed mesh. Where a camera sees this point well, the photo's colour divided
by the light that falls there is its albedo. How far this can be trusted depends on the viewing angle, on the distance
from outlines, and on whether the albedo is a colour of skin: colours of skin differ in melanin and blood, and little
otherwise. Where it is trusted, the photo's detail is added to the inferred skin. That was inferred from everything
visible, so the unseen side has the same tone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.meshes import face_areas, vertex_normals
from hifihr_core.prediction.look.skin_evidence import smoothstep
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Fragments, rasterize, self_shade
from hifihr_core.rendering.skylight import light_at

#: A texel further behind the surface seen at its pixel than this is hidden, metres.
_HIDDEN_M = 0.004
#: Cosine between normal and view below which a texel is too oblique to count, and from which it counts fully.
_FACING = (0.2, 0.6)
#: Distance from the outline at which a texel begins to count, and from which it counts fully, in crop widths.
_OUTLINE = (0.012, 0.045)
#: Fraction of the rendered hand inside the mask below which the fit is not trusted, and from which it is trusted fully.
_FIT = (0.75, 0.92)
#: Light below this is too dim to divide by.
_MIN_LIGHT = 0.1
#: A pixel with a channel above this may be clipped.
_WHITE = (0.92, 0.99)
#: Directions of log colour in which skin varies: melanin, and blood (less green and blue, more red).
_MELANIN, _BLOOD = (0.467, 0.581, 0.667), (0.875, -0.446, -0.224)
#: Log ratio to the model's skin, along each direction, up to which a texel counts fully, and beyond which not at all.
_BRIGHTER, _DARKER, _REDDER, _FOREIGN = (0.2, 0.5), (0.7, 1.3), (0.12, 0.3), (0.07, 0.16)
#: An error in the light shifts all texels alike: this fraction of the shift is removed before colours are judged.
_SHARED = 0.15
#: Differences smoother than this fraction of the chart are mostly unexplained light, and most of them is dropped.
_SMOOTH, _KEPT = 1 / 40, 0.3
#: Fine detail brighter or darker than this (log) is more likely a highlight or a gap than skin.
_BRIGHT_DETAIL, _DARK_DETAIL = 0.12, 0.5
#: Blurs wider than this many pixels are computed on downscaled planes.
_LEAST_SIGMA = 4.0
#: Pixels sampled per call, in one row.
_ROW = 1024
#: Trust fades over this fraction of the chart, so that its borders do not show as lines.
_SOFT = 1 / 120


@dataclass(frozen=True)
class View:
    """One crop of a hand: its image, surface and light, all mirrored for a left hand.

    `mask` marks the pixels that may be skin; None for all that the mesh covers. `light` has a batch size of one.
    """

    image: UInt8[np.ndarray, "H W 3"]
    vertices_cam: Float[Tensor, "V 3"]
    K: Float[Tensor, "3 3"]
    light: Light
    mask: Bool[np.ndarray, "H W"] | None = None


@dataclass(frozen=True)
class CompletedTexture:
    """An albedo map, how much of each texel comes from a photo (0 to 1), and its mean over the hand's surface."""

    albedo: Float[Tensor, "3 T T"]
    seen: Float[Tensor, "T T"]
    seen_share: float


def complete_texture(
    views: Sequence[View], faces: Tensor, appearance: Appearance, *, texture_px: int = 1024
) -> CompletedTexture:
    """Complete the inferred skin of one hand, `appearance` (a batch of one), with detail from photos of it.

    The result is a texture of `texture_px` x `texture_px`. Raises: ValueError for an appearance without a UV chart.
    """
    if appearance.uvs is None or appearance.faces_uvs is None:
        raise ValueError("complete_texture: the appearance has no UV chart, expected one")
    chart = _rasterize_chart(appearance.uvs, appearance.faces_uvs, texture_px)
    faces = faces.to(torch.int64)
    model = _model_texels(appearance, texture_px)
    total, moved, unseen = model.new_zeros(len(model)), torch.zeros_like(model), model.new_ones(len(model))
    for view in views:
        seen = _rasterize_view(view, faces)
        texels = _shown_texels(seen, chart, faces)
        change, weight = _observe(view, seen, texels, faces, model[texels.index])
        total[texels.index] += weight.square()
        moved[texels.index] += weight.square()[:, None] * change
        unseen[texels.index] *= 1 - weight
    weight = 1 - unseen
    shown = weight.nonzero()[:, 0]
    change = moved[shown] / total[shown].clamp_min(1e-9)[:, None]
    model[shown] = (model[shown] * _detail(change, shown, weight, texture_px).exp()).clamp(0, 1)
    inside = chart.face[0] >= 0
    albedo = _fill_gutter(model.reshape(texture_px, texture_px, 3), inside)
    share = _seen_share(views[0].vertices_cam, chart, faces, weight) if views else 0.0
    return CompletedTexture(albedo.permute(2, 0, 1), weight.reshape(texture_px, texture_px), share)


@dataclass(frozen=True)
class _Texels:
    """Some texels of a chart: their row-major indices, and the vertices of their face with barycentric weights."""

    index: Int[Tensor, " N"]
    corners: Int[Tensor, "N 3"]
    bary: Float[Tensor, "N 3"]

    def at(self, values: Float[Tensor, "V C"]) -> Float[Tensor, "N C"]:
        """Interpolate vertex values at the texels."""
        first, second, third = (values[self.corners[:, c]] * self.bary[:, c, None] for c in range(3))
        return first + second + third


def _rasterize_view(view: View, faces: Tensor) -> Fragments:
    height, width = view.image.shape[:2]
    return rasterize(view.vertices_cam[None], faces, view.K[None], height=height, width=width)


def _shown_texels(seen: Fragments, chart: Fragments, faces: Tensor) -> _Texels:
    """Return the texels that a view may show: those of the `seen` faces and their neighbours."""
    near = torch.zeros(int(faces.max()) + 1, dtype=torch.bool, device=faces.device)
    near[faces[seen.face[seen.face >= 0].long().unique()]] = True
    shown = near[faces].any(dim=1)
    face = chart.face[0].reshape(-1).long()
    index = ((face >= 0) & shown[face.clamp_min(0)]).nonzero()[:, 0]
    return _Texels(index, faces[face[index]], chart.bary.reshape(-1, 3)[index])


def _observe(
    view: View, seen: Fragments, texels: _Texels, faces: Tensor, model: Float[Tensor, "N 3"]
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, " N"]]:
    """Return, at some texels, the log ratio of the albedo that a view shows to the inferred skin (`model`).

    Also returns how far it can be trusted, from 0 to 1.
    """
    vertices = view.vertices_cam
    points = texels.at(vertices)
    normals = torch.nn.functional.normalize(texels.at(vertex_normals(vertices[None], faces)[0]), dim=1)
    pixels = project(points[None], view.K[None])[0]
    trust = _visibility(points, normals, pixels, seen, view)
    radiance = _look_up(view.image, pixels)
    change = (radiance.clamp_min(0.01) / (_level(view, faces, texels, normals) * model.clamp_min(0.01))).log()
    trust = trust * (1 - smoothstep(radiance.amax(dim=1), *_WHITE))
    return change, trust * _likeness(change, trust)


def _level(view: View, faces: Tensor, texels: _Texels, normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Return the light that reaches each texel, where the rest of the hand does not block it."""
    light = view.light
    shade = self_shade(view.vertices_cam[None], faces, light.direction)
    reach = texels.at(torch.stack((shade.sky[0], shade.sun[0]), dim=-1))
    lamp = light.color * (normals @ light.direction[0]).clamp_min(0)[:, None]
    sky = light_at(normals[None], Light(light.ambient, torch.zeros_like(light.color), light.direction, light.sky))[0]
    return (sky * reach[:, :1] + lamp * reach[:, 1:]).clamp_min(_MIN_LIGHT)


def _rasterize_chart(uvs: Tensor, faces_uvs: Tensor, texture_px: int) -> Fragments:
    """Rasterise the chart as a flat mesh at depth 1, which gives each texel its face and barycentric position."""
    flat = torch.stack((uvs[:, 0] * texture_px, (1 - uvs[:, 1]) * texture_px, torch.ones_like(uvs[:, 0])), dim=1)
    K = torch.eye(3, dtype=uvs.dtype, device=uvs.device)
    return rasterize(flat[None], faces_uvs, K[None], height=texture_px, width=texture_px)


def _seen_share(vertices: Float[Tensor, "V 3"], chart: Fragments, faces: Tensor, weight: Float[Tensor, " T"]) -> float:
    """Return the mean of `weight` over the surface of the hand: each texel counts by the area that it covers."""
    area = face_areas(vertices[None], faces)[0]
    face = chart.face[0].reshape(-1).long()
    inside = face >= 0
    texels = torch.bincount(face[inside], minlength=len(area))
    summed = torch.bincount(face[inside], weights=weight[inside], minlength=len(area))
    mean = summed / texels.clamp_min(1)
    return float((mean * area).sum() / (area * (texels > 0)).sum().clamp_min(1e-12))


def _visibility(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    pixels: Float[Tensor, "N 2"],
    seen: Fragments,
    view: View,
) -> Float[Tensor, " N"]:
    """Return how well the camera sees each texel: 0 if hidden, oblique or at the outline, 1 if fully visible."""
    height, width = view.image.shape[:2]
    covered, fit = (seen.face[0] >= 0).cpu().numpy(), 1.0
    if view.mask is not None:
        share = (covered & view.mask).sum() / max(1, covered.sum())
        fit, covered = float(smoothstep(points.new_tensor(share), *_FIT)), covered & view.mask
    column, row = pixels.floor().long().unbind(dim=1)
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    open_view = (points[:, 2] - seen.depth[0][row, column]).abs() < _HIDDEN_M
    facing = (normals * torch.nn.functional.normalize(-points, dim=1)).sum(dim=1)
    # A depth step inside the hand (a finger in front of the palm) is an outline as well.
    depth = np.where(covered, seen.depth[0].cpu().numpy(), 0).astype(np.float32)
    steep = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > _HIDDEN_M
    free = (covered & ~steep).astype(np.uint8)
    distance = torch.from_numpy(cv2.distanceTransform(free, cv2.DIST_L2, 5)).to(points.device)[row, column]
    soft = smoothstep(facing, *_FACING) * smoothstep(distance.to(points.dtype) / width, *_OUTLINE)
    return soft * (within & open_view) * fit


def _look_up(image: np.ndarray, pixels: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    grid = pixels.cpu().numpy().astype(np.float32) - 0.5
    rows = -(-len(grid) // _ROW)  # OpenCV accepts maps of at most 32767 per side
    grid = np.pad(grid, ((0, rows * _ROW - len(grid)), (0, 0))).reshape(rows, _ROW, 2)
    colors = cv2.remap(image, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(colors.reshape(-1, 3)[: len(pixels)]).to(pixels) / 255


def _model_texels(appearance: Appearance, texture_px: int) -> Float[Tensor, "N 3"]:
    albedo = appearance.albedo[0].permute(1, 2, 0)
    size = (texture_px, texture_px)
    resized = cv2.resize(albedo.cpu().numpy(), size, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).to(albedo).reshape(-1, 3)


def _likeness(change: Float[Tensor, "N 3"], trust: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return how plausible it is that each texel is skin: 1 for the inferred colour, 0 for hair, cloth or highlights.

    `change` is the log ratio to the inferred skin. Its components along melanin, along blood, and orthogonal to both
    are judged separately.
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


def _detail(
    change: Float[Tensor, "N 3"], seen: Int[Tensor, " N"], weight: Float[Tensor, " T"], texture_px: int
) -> Float[Tensor, "N 3"]:
    """Return the log of the factor on the inferred skin at the texels `seen`.

    It contains all of the fine differences in `change` and a fraction of the smooth ones, both only along the
    directions in which skin varies, and scaled by `weight`.
    """
    shape = (texture_px, texture_px)
    axes = np.array([_MELANIN, _BLOOD], np.float32)
    along = change.cpu().numpy().astype(np.float32) @ axes.T
    w, at = weight.reshape(shape).cpu().numpy().astype(np.float32), seen.cpu().numpy()
    planes = np.zeros((texture_px * texture_px, 3), np.float32)
    planes[at, 0], planes[at, 1:] = w.ravel()[at], along * w.ravel()[at, None]
    blurred = _blur_widely(planes.reshape(*shape, 3), _SMOOTH * texture_px).reshape(-1, 3)[at]
    smooth = blurred[:, 1:] / np.maximum(blurred[:, :1], 1e-4) @ axes
    fine = along @ axes - smooth
    fine = np.where(
        fine > 0, _BRIGHT_DETAIL * np.tanh(fine / _BRIGHT_DETAIL), _DARK_DETAIL * np.tanh(fine / _DARK_DETAIL)
    )
    eroded = cv2.erode(w, np.ones((3, 3), np.uint8))
    soft = np.minimum(w, _blur_widely(eroded, _SOFT * texture_px)).reshape(-1, 1)[at]
    return torch.from_numpy(soft * (fine + _KEPT * smooth)).to(change)


def _blur_widely(planes: np.ndarray, sigma: float) -> np.ndarray:
    """Return a Gaussian blur, computed on downscaled planes if that makes no visible difference."""
    factor = max(1, int(sigma / _LEAST_SIGMA))
    height, width = planes.shape[:2]
    if factor > 1:
        planes = cv2.resize(planes, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(planes, (0, 0), max(0.5, sigma / factor))
    return blurred if factor == 1 else cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)


def _fill_gutter(albedo: Float[Tensor, "T T 3"], inside: Bool[Tensor, "T T"]) -> Float[Tensor, "T T 3"]:
    """Copy the nearest texel of the chart to each texel outside it, so that filtering at the seams finds only skin."""
    known = inside.cpu().numpy()
    if not known.any():
        return albedo
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    where = np.zeros(label.max() + 1, dtype=np.int64)
    where[label[known]] = np.flatnonzero(known)
    flat = albedo.reshape(-1, 3).clone()
    flat[torch.from_numpy(np.flatnonzero(~known))] = flat[torch.from_numpy(where[label[~known]])]
    return flat.reshape(albedo.shape)
