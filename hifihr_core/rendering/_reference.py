"""The specification of every primitive in plain torch: short and slow, for any device, differentiated by autograd.

The compiled back ends give the same values and the same gradients. Vertices are homogeneous pixels
q = K p = (u z, v z, z), where p is in the camera frame; pixel (i, j) is centred on (u, v) = (j + .5, i + .5).
`face` (B, H, W) is the index of the face that is visible in each pixel, or -1; where it is -1, depth is infinite, and
barycentrics and colours are 0.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from hifihr_core.rendering.fragments import Cull, Material
from hifihr_core.rendering.skylight import sky_basis

_FACES_AT_ONCE = 64
_DISKS_AT_ONCE = 256


def rasterize(
    q: Tensor, faces: Tensor, height: int, width: int, near_m: float, cull: Cull
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (face, bary, depth): each pixel's nearest face, and where its ray meets that face; -1, 0, inf for none."""
    face = find_faces(q.detach().double(), faces.long(), height, width, near_m, cull)
    bary, depth = surface(q, faces, face)
    return face, bary, depth


def find_faces(q: Tensor, faces: Tensor, height: int, width: int, near_m: float, cull: Cull) -> Tensor:
    """Return the nearest face (B, H, W) of each pixel, -1 for none; of several faces at the same depth, the first."""
    rays = _centers(height, width, q)
    nearest = q.new_full((q.shape[0], height, width), math.inf)
    found = torch.full_like(nearest, -1, dtype=torch.int32)
    for start in range(0, faces.shape[0], _FACES_AT_ONCE):
        corners = q[:, faces[start : start + _FACES_AT_ONCE]]
        sides = torch.stack(
            [torch.linalg.cross(corners[:, :, i - 2], corners[:, :, i - 1], dim=-1) for i in range(3)], 2
        )
        volume = (corners[:, :, 0] * sides[:, :, 0]).sum(-1)
        wanted = {"none": volume != 0, "back": volume < 0, "front": volume > 0}[cull]
        weights = torch.einsum("bfik,hwk->bfihw", sides * volume.sign()[..., None, None], rays)
        total = weights.sum(2)
        depth = (weights * corners[..., 2, None, None]).sum(2) / total
        inside = (weights >= 0).all(2) & (total > 0) & (depth >= near_m) & wanted[..., None, None]
        depth, index = torch.where(inside, depth, math.inf).min(dim=1)
        nearer = depth < nearest
        found = torch.where(nearer, (index + start).int(), found)
        nearest = torch.where(nearer, depth, nearest)
    return found


def surface(q: Tensor, faces: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """Return (bary, depth) of the points where the pixels' rays meet the faces in `face`.

    With corners q_i, q_j, q_k and the ray r = (u, v, 1): w_i = r . (q_j x q_k), bary = w / sum(w), and depth is the
    mean of the corners' z, weighted by bary. For a fixed `face`, the gradient in q is exact. Corners are taken relative
    to the pixel's centre, so that float32 is accurate enough.
    """
    seen = face >= 0
    corners = _corners(q, faces, face)
    rays = _centers(face.shape[1], face.shape[2], q)[:, :, None]
    moved = corners[..., :2] - rays[..., :2] * corners[..., 2:]
    x, y = moved.unbind(-1)
    weights = torch.stack([x[..., i - 2] * y[..., i - 1] - y[..., i - 2] * x[..., i - 1] for i in range(3)], dim=-1)
    weights = weights.where(seen[..., None], torch.ones_like(weights))
    bary = weights / weights.sum(-1, keepdim=True)
    depth = torch.where(seen, (bary * corners[..., 2]).sum(-1), math.inf)
    return bary * seen[..., None], depth


def interpolate(values: Tensor, faces: Tensor, face: Tensor, bary: Tensor, unit: bool) -> Tensor:
    """Return the barycentric mean (B, H, W, C) of the corners' values (B or 1, V, C); unit vectors if `unit`."""
    mean = (_corners(values.expand(face.shape[0], -1, -1), faces, face) * bary[..., None]).sum(-2)
    mean = mean * (face >= 0)[..., None]
    if not unit:
        return mean
    squared = mean.square().sum(-1, keepdim=True)
    return mean * squared.where(squared > 0, torch.ones_like(squared)).rsqrt()


def sample_texture(texture: Tensor, uv: Tensor, face: Tensor) -> Tensor:
    """Return the values (B, H, W, C) of texture maps (B, C, T, T), sampled bilinearly at uv (B, H, W, 2).

    The origin of uv is the bottom left corner; uv outside [0, 1] are clamped.
    """
    grid = torch.stack([uv[..., 0], 1 - uv[..., 1]], dim=-1) * 2 - 1
    picked = functional.grid_sample(texture, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return picked.permute(0, 2, 3, 1) * (face >= 0)[..., None]


def shade(
    albedo: Tensor,
    normals: Tensor,
    face: Tensor,
    K: Tensor,
    light: Tensor,
    material: Material,
    linear: bool,
    reach: Tensor | None = None,
) -> Tensor:
    """Return the colour (B, H, W, 3) of a lit surface: ambient, sky and directional light, and a highlight.

    The colour is a (k_a s (A + sum_j Y_j(n) H_j) + k_d t L max(n.l, 0)) + k_s t S c^p, where a is the albedo, n the
    unit normal, and k_a, k_d, k_s and p are the material's factors and shininess. The rows of `light` (B, 3 or 11, 3)
    are ambient light A, light colour L, direction l towards the light and, if there are more, the eight coefficients H
    of the sky; Y is `sky_basis`. S is 1 for a white highlight, else L. With v towards the camera, c is max(n.h, 0) for
    Blinn-Phong, h = (l + v) / |l + v|, or max(r.v, 0) for Phong, r = 2 (n.l) n - l; it is 0 unless n.l > 0. `reach`
    (B, H, W, 2) holds the visible fractions s of the sky and t of the directional light, 1 if it is None. With
    `linear`, albedo and result are sRGB, and the sum is computed in linear light.
    """
    ambient, color, toward = (x[:, None, None] for x in light[:, :3].unbind(1))
    if light.shape[1] > 3:
        ambient = ambient + torch.einsum("bhwk,bkc->bhwc", sky_basis(normals), light[:, 3:])
    if reach is not None:
        ambient, color = ambient * reach[..., :1], color * reach[..., 1:]
    glint = torch.ones_like(color[..., :1]) if reach is None else reach[..., 1:]
    base = to_linear(albedo) if linear else albedo
    facing = (normals * toward).sum(-1, keepdim=True)
    lit = base * (material.ambient * ambient + material.diffuse * color * facing.clamp_min(0))
    if material.specular:
        view = _view(K, face, normals)
        if material.highlight == "phong":
            cosine = ((2 * facing * normals - toward) * view).sum(-1, keepdim=True)
        else:
            cosine = (normals * functional.normalize(toward + view, dim=-1)).sum(-1, keepdim=True)
        shiny = (facing > 0) & (cosine > 0)
        shine = cosine.where(shiny, torch.ones_like(cosine)).pow(material.shininess) * shiny
        lit = lit + material.specular * shine * (glint if material.white_highlight else color)
    lit = to_srgb(lit) if linear else lit
    return lit * (face >= 0)[..., None]


def open_sky(points: Tensor, normals: Tensor, areas: Tensor) -> Tensor:
    """Return the cosine-weighted fraction (B, V) of the sky that each vertex sees past the rest of its mesh.

    `points` and `normals` are (B, V, 3), `areas` (B, V). A vertex j that faces vertex i hides as much sky from it as a
    disk of its area A: cos_i cos_j A / (pi d^2 + A), where d is the distance between them, and cos_i and cos_j are the
    cosines of the angles between this line and their normals. This is exact on the disk's axis (Bunnell, "Dynamic
    ambient occlusion and indirect lighting", GPU Gems 2, 2005). Hidden fractions add up, to at most 1.
    """
    hidden = torch.zeros_like(areas)
    for start in range(0, points.shape[1], _DISKS_AT_ONCE):
        part = slice(start, start + _DISKS_AT_ONCE)
        offset = points[:, None, part] - points[:, :, None]
        squared = offset.square().sum(-1)
        above = (offset * normals[:, :, None]).sum(-1).clamp_min(0)
        towards = -(offset * normals[:, None, part]).sum(-1).clamp_max(0)
        area = areas[:, None, part]
        hidden = hidden + (above * towards * area / (squared * (math.pi * squared + area) + 1e-20)).sum(-1)
    return (1 - hidden).clamp_min(0)


def to_linear(srgb: Tensor) -> Tensor:
    """Convert sRGB values to linear light (IEC 61966-2-1)."""
    low = srgb <= 0.04045
    return torch.where(low, srgb / 12.92, ((srgb.where(~low, torch.ones_like(srgb)) + 0.055) / 1.055).pow(2.4))


def to_srgb(linear: Tensor) -> Tensor:
    """Convert linear light to sRGB values."""
    low = linear <= 0.0031308
    return torch.where(low, 12.92 * linear, 1.055 * linear.where(~low, torch.ones_like(linear)).pow(1 / 2.4) - 0.055)


def antialias(
    values: Tensor, q: Tensor, face: Tensor, depth: Tensor, edges: Tensor, opposite: Tensor, near_m: float
) -> Tensor:
    """Return `values` (B, H, W, C), blended across the outlines between pixels; gradients reach `values` and `q`."""
    crossing = find_crossings(q.detach().double(), face, depth.detach(), edges.long(), opposite.long(), near_m)
    return blend(values, crossing_places(q, edges, crossing), crossing)


def find_crossings(q: Tensor, face: Tensor, depth: Tensor, edges: Tensor, opposite: Tensor, near_m: float) -> Tensor:
    """Return (B, 2, H, W): the outline (an edge) between a pixel and its right (0) or lower (1) neighbour, -1 for none.

    An edge is an outline if both of its faces, or its only one, are on the same side of the plane through the edge and
    the camera. Steep outlines are intersected with rows of pixel centres, flat ones with columns. An outline counts if
    the pixel on its surface's side shows something nearer than the other pixel does, and the other pixel shows nothing
    nearer than the outline. Of several outlines between two pixels, the one closest to the farther surface counts: only
    beyond it is that surface visible.
    """
    ends = q[:, edges]
    normal = torch.linalg.cross(ends[:, :, 0], ends[:, :, 1], dim=-1)
    side = (q[:, opposite] * normal[:, :, None]).sum(-1) > 0
    outline = (side[..., 0] == side[..., 1]) | (opposite[:, 1] < 0)
    found = []
    for axis in range(2):
        steep = _steep(ends, near_m) == (axis == 0)
        images = (face, depth) if axis == 0 else (face.mT, depth.mT)
        at_first = (normal[..., axis] < 0) == side[..., 0]
        pairs = _outer_crossings(ends, outline & steep, at_first, axis, *images, near_m)
        found.append(pairs if axis == 0 else pairs.mT)
    return torch.stack(found, dim=1)


def _outer_crossings(
    ends: Tensor, outline: Tensor, first_inside: Tensor, axis: int, face: Tensor, depth: Tensor, near_m: float
) -> Tensor:
    """Return the part (B, rows, columns) of the result of `find_crossings` for one axis.

    `face` and `depth` are transposed for axis 1, so that the lines of pixel centres are always their rows.
    """
    lines, places = face.shape[1:]
    b, e, row, at, z = _line_crossings(ends, outline, axis, lines)
    keep = (z >= near_m) & (at >= 0) & (at < places - 1)
    b, e, row, at, z = (x[keep] for x in (b, e, row, at, z))
    first = at.long()
    inside = first_inside[b, e]
    col_in, col_out = torch.where(inside, first, first + 1), torch.where(inside, first + 1, first)
    face_in, face_out = face[b, row, col_in], face[b, row, col_out]
    z_in, z_out = depth[b, row, col_in], depth[b, row, col_out]
    keep = (face_in >= 0) & (face_in != face_out) & (z_out > z) & (z_out > z_in)
    reach = torch.where(inside, at - first, 1 - (at - first))[keep]
    pair, e = ((b * lines + row) * places + first)[keep], e[keep]
    farthest = reach.new_full((face.numel(),), -1).scatter_reduce(0, pair, reach, "amax")
    nobody = torch.iinfo(torch.int64).max
    winner = torch.full_like(farthest, nobody, dtype=torch.int64)
    tied = reach == farthest[pair]
    winner = winner.scatter_reduce(0, pair[tied], e[tied], "amin")
    return winner.where(winner != nobody, torch.full_like(winner, -1)).reshape(face.shape).int()


def _line_crossings(ends: Tensor, outline: Tensor, axis: int, lines: int) -> tuple[Tensor, ...]:
    """Return all intersections of outlines with lines of pixel centres.

    They are five arrays: image, edge, line, position along the line minus 0.5 (pixels), and depth.
    """
    b, e = outline.nonzero(as_tuple=True)
    q_i, q_j = ends[b, e, 0], ends[b, e, 1]
    centers = torch.arange(lines, device=ends.device, dtype=ends.dtype) + 0.5
    d_i = q_i[:, 1 - axis, None] - centers * q_i[:, 2:]
    d_j = q_j[:, 1 - axis, None] - centers * q_j[:, 2:]
    index, row = ((d_i >= 0) != (d_j >= 0)).nonzero(as_tuple=True)
    d_i, d_j, q_i, q_j = d_i[index, row], d_j[index, row], q_i[index], q_j[index]
    m = q_i[:, 2] * d_j - q_j[:, 2] * d_i
    at = (q_i[:, axis] * d_j - q_j[:, axis] * d_i) / m - 0.5
    return b[index], e[index], row, at, m / (d_j - d_i)


def _steep(ends: Tensor, near_m: float) -> Tensor:
    """Return which edges (B, E, 2, 3), cut at the near plane, extend farther in v than in u."""
    z_i, z_j = ends[..., 0, 2], ends[..., 1, 2]
    t = (near_m - z_i) / (z_j - z_i)
    t_i, t_j = torch.where(z_i < near_m, t, 0), torch.where(z_j < near_m, t, 1)
    step = ends[:, :, 1] - ends[:, :, 0]
    cut = torch.stack([ends[:, :, 0] + t_i[..., None] * step, ends[:, :, 0] + t_j[..., None] * step], dim=2)
    extent = (cut[..., :2] / cut[..., 2:].clamp_min(near_m)).diff(dim=2)[:, :, 0].abs()
    return extent[..., 1] >= extent[..., 0]


def crossing_places(q: Tensor, edges: Tensor, crossing: Tensor) -> Tensor:
    """Return (B, 2, H, W): where each outline in `crossing` passes between two pixel centres; differentiable in q.

    0 is the centre of the first pixel, 1 that of the second; 0 also where there is no outline.
    """
    b, axis, row, col = (crossing >= 0).nonzero(as_tuple=True)
    ends = edges.long()[crossing[b, axis, row, col].long()]
    q_i, q_j = q[b, ends[:, 0]], q[b, ends[:, 1]]
    line, first = torch.where(axis == 0, row, col) + 0.5, torch.where(axis == 0, col, row)

    def pick(point: Tensor, index: Tensor) -> Tensor:
        return point.gather(1, index[:, None])[:, 0]

    # Relative to the first pixel's centre, so that float32 is enough.
    d_i, d_j = (pick(point, 1 - axis) - line * point[:, 2] for point in (q_i, q_j))
    e_i, e_j = (pick(point, axis) - (first + 0.5) * point[:, 2] for point in (q_i, q_j))
    t = (e_i * d_j - e_j * d_i) / (q_i[:, 2] * d_j - q_j[:, 2] * d_i)
    return q.new_zeros(crossing.shape).index_put((b, axis, row, col), t)


def blend(values: Tensor, at: Tensor, crossing: Tensor) -> Tensor:
    """Return `values` (B, H, W, C), each mixed with a neighbour's by the fraction of its pixel beyond the outline."""
    present = crossing >= 0
    first, second = (0.5 - at).clamp_min(0) * present, (at - 0.5).clamp_min(0) * present
    change, total = torch.zeros_like(values), torch.zeros_like(values[..., :1])
    for axis in range(2):
        dim = 2 - axis
        step = torch.zeros_like(values)
        head = values.narrow(dim, 1, values.shape[dim] - 1) - values.narrow(dim, 0, values.shape[dim] - 1)
        step.narrow(dim, 0, values.shape[dim] - 1).copy_(head)
        taken, given = first[:, axis, ..., None], second[:, axis, ..., None]
        change = change + taken * step + torch.roll(-given * step, 1, dim)
        total = total + taken + torch.roll(given, 1, dim)
    return values + change / total.clamp_min(1)


def _centers(height: int, width: int, like: Tensor) -> Tensor:
    """Return the homogeneous centres (H, W, 3) of all pixels."""
    v = torch.arange(height, device=like.device, dtype=like.dtype) + 0.5
    u = torch.arange(width, device=like.device, dtype=like.dtype) + 0.5
    v, u = torch.meshgrid(v, u, indexing="ij")
    return torch.stack([u, v, torch.ones_like(u)], dim=-1)


def _corners(values: Tensor, faces: Tensor, face: Tensor) -> Tensor:
    """Return the corners' values (B, H, W, 3, C) of the visible faces; those of face 0 where no face is visible."""
    index = faces.long()[face.long().clamp_min(0)]
    batch = torch.arange(values.shape[0], device=values.device)[:, None, None, None]
    return values[batch, index]


def _view(K: Tensor, face: Tensor, like: Tensor) -> Tensor:
    """Return unit vectors (B, H, W, 3) from the surface towards the camera; no gradient reaches K."""
    inverse = torch.linalg.inv(K.detach().double()).to(like.dtype)
    rays = torch.einsum("bij,hwj->bhwi", inverse, _centers(face.shape[1], face.shape[2], like))
    return -functional.normalize(rays, dim=-1)
