"""CUDA kernels in Triton: the face seen through each pixel, and the outline between two pixels.

Only these two searches have kernels; everything after them is differentiable torch code in `_reference`. One program
processes one face, or one edge, of one image, and updates the pixels it touches by an atomic minimum or maximum of
(key, index) packed in 64 bits, so the result does not depend on the order of the programs: the lowest index wins ties.
`TRITON_INTERPRET=1` runs the same kernels on a CPU.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from hifihr_core.geometry.meshes import edge_adjacency
from hifihr_core.rendering import _reference
from hifihr_core.rendering.fragments import Cull

_CULL = {"none": 0, "back": 1, "front": 2}
_NOBODY = torch.iinfo(torch.int64).max


def _kernel(function: Callable[..., Any]) -> Any:
    """Compile a function with Triton, without the shape checks that tests add to every function."""
    return triton.jit(inspect.unwrap(function))


def rasterize(
    q: Tensor, faces: Tensor, height: int, width: int, near_m: float, cull: Cull
) -> tuple[Tensor, Tensor, Tensor]:
    """See `_reference.rasterize`."""
    face = find_faces(q.detach(), faces, height, width, near_m, cull)
    bary, depth = _reference.surface(q, faces, face)
    return face, bary, depth


def antialias(
    values: Tensor, q: Tensor, face: Tensor, depth: Tensor, edges: Tensor, opposite: Tensor, near_m: float
) -> Tensor:
    """See `_reference.antialias`."""
    crossing = find_crossings(q.detach(), face, depth.detach(), edges, opposite, near_m)
    return _reference.blend(values, _reference.crossing_places(q, edges, crossing), crossing)


def find_faces(q: Tensor, faces: Tensor, height: int, width: int, near_m: float, cull: Cull) -> Tensor:
    """See `_reference.find_faces`; computed in float32, relative to each pixel."""
    batch, verts = q.shape[:2]
    nearest = torch.full((batch, height, width), _NOBODY, dtype=torch.int64, device=q.device)
    points, corners = q.float().contiguous(), faces.int().contiguous()
    _offer_faces[(batch * len(faces),)](
        points, corners, nearest, verts, len(faces), height, width, near_m, CULL=_CULL[cull], ROWS=4, COLS=16,
        enable_fp_fusion=False,
    )  # fmt: skip
    return torch.where(nearest == _NOBODY, -1, nearest & 0xFFFFFFFF).int()


def find_crossings(q: Tensor, face: Tensor, depth: Tensor, edges: Tensor, opposite: Tensor, near_m: float) -> Tensor:
    """See `_reference.find_crossings`; computed in float32."""
    batch, height, width = face.shape
    outermost = torch.full((batch, 2, height, width), -1, dtype=torch.int64, device=q.device)
    points, ends, thirds = q.float().contiguous(), edges.int().contiguous(), opposite.int().contiguous()
    _offer_edges[(batch * len(edges),)](
        points, ends, thirds, face.int().contiguous(), depth.float().contiguous(), outermost,
        q.shape[1], len(edges), height, width, near_m, LINES=16, enable_fp_fusion=False,
    )  # fmt: skip
    return torch.where(outermost < 0, -1, 0x7FFFFFFF - (outermost & 0x7FFFFFFF)).int()


def try_out(device: torch.device) -> None:
    """Compile both kernels and run them on one triangle. Raises: RuntimeError if they do not find it."""
    q = torch.tensor([[[0.0, 0.0, 1.0], [2.5, 0.0, 1.0], [0.0, 2.5, 1.0]]], device=device)
    faces = torch.tensor([[0, 1, 2]], device=device)
    around = edge_adjacency(faces)
    face = find_faces(q, faces, 3, 3, 0.01, "none")
    depth = torch.where(face < 0, torch.inf, 1.0)
    crossing = find_crossings(q, face, depth, around.edges, around.opposite, 0.01)
    if int((face == 0).sum()) != 3 or int((crossing >= 0).sum()) < 1:
        raise RuntimeError("the kernels do not find a triangle that is visible")


@_kernel
def _load_point(q_ptr, image, index, num_verts):
    base = q_ptr + (image.to(tl.int64) * num_verts + index) * 3
    return tl.load(base), tl.load(base + 1), tl.load(base + 2)


@_kernel
def _widen(xa, ya, za, xb, yb, zb, near, u_low, u_high, v_low, v_high):
    """Return a face's bounding box in pixels, extended to what is visible of corner a and the side from a to b.

    That is corner a, if it is beyond the near plane, and the point where the side crosses this plane, if it does.
    """
    before, crosses = za >= near, (za >= near) != (zb >= near)
    depth = tl.where(before, za, 1.0)
    u, v = xa / depth, ya / depth
    u_low, u_high = tl.where(before, tl.minimum(u_low, u), u_low), tl.where(before, tl.maximum(u_high, u), u_high)
    v_low, v_high = tl.where(before, tl.minimum(v_low, v), v_low), tl.where(before, tl.maximum(v_high, v), v_high)
    t = (near - za) / tl.where(crosses, zb - za, 1.0)
    u, v = (xa + t * (xb - xa)) / near, (ya + t * (yb - ya)) / near
    u_low, u_high = tl.where(crosses, tl.minimum(u_low, u), u_low), tl.where(crosses, tl.maximum(u_high, u), u_high)
    v_low, v_high = tl.where(crosses, tl.minimum(v_low, v), v_low), tl.where(crosses, tl.maximum(v_high, v), v_high)
    return u_low, u_high, v_low, v_high


@_kernel
def _offer_faces(
    q_ptr, faces_ptr, nearest_ptr, num_verts, num_faces, height, width, near,
    CULL: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """Test one face against the pixels in its bounding box, and record it where it is the nearest so far."""
    face, image = tl.program_id(0) % num_faces, tl.program_id(0) // num_faces
    x0, y0, z0 = _load_point(q_ptr, image, tl.load(faces_ptr + face * 3), num_verts)
    x1, y1, z1 = _load_point(q_ptr, image, tl.load(faces_ptr + face * 3 + 1), num_verts)
    x2, y2, z2 = _load_point(q_ptr, image, tl.load(faces_ptr + face * 3 + 2), num_verts)
    big = 1e30
    u_low, u_high, v_low, v_high = _widen(x0, y0, z0, x1, y1, z1, near, big, -big, big, -big)
    u_low, u_high, v_low, v_high = _widen(x1, y1, z1, x2, y2, z2, near, u_low, u_high, v_low, v_high)
    u_low, u_high, v_low, v_high = _widen(x2, y2, z2, x0, y0, z0, near, u_low, u_high, v_low, v_high)
    # A margin of a thousandth of a pixel keeps rounding from losing a centre exactly on the border.
    row0 = tl.ceil(tl.minimum(tl.maximum(v_low - 0.501, 0.0), height * 1.0)).to(tl.int32)
    row1 = tl.floor(tl.maximum(tl.minimum(v_high - 0.499, height - 1.0), -1.0)).to(tl.int32)
    col0 = tl.ceil(tl.minimum(tl.maximum(u_low - 0.501, 0.0), width * 1.0)).to(tl.int32)
    col1 = tl.floor(tl.maximum(tl.minimum(u_high - 0.499, width - 1.0), -1.0)).to(tl.int32)
    for row_start in range(row0, row1 + 1, ROWS):
        for col_start in range(col0, col1 + 1, COLS):
            row = row_start + tl.arange(0, ROWS)[:, None]
            col = col_start + tl.arange(0, COLS)[None, :]
            u, v = col + 0.5, row + 0.5
            dx0, dy0, dx1, dy1 = x0 - u * z0, y0 - v * z0, x1 - u * z1, y1 - v * z1
            dx2, dy2 = x2 - u * z2, y2 - v * z2
            w0, w1, w2 = dx1 * dy2 - dy1 * dx2, dx2 * dy0 - dy2 * dx0, dx0 * dy1 - dy0 * dx1
            total = w0 + w1 + w2
            front = (w0 <= 0) & (w1 <= 0) & (w2 <= 0) & (total < 0)
            back = (w0 >= 0) & (w1 >= 0) & (w2 >= 0) & (total > 0)
            if CULL == 0:
                inside = front | back
            elif CULL == 1:
                inside = front
            else:
                inside = back
            scale = 1.0 / tl.where(inside, total, 1.0)
            depth = (w0 * scale) * z0 + (w1 * scale) * z1 + (w2 * scale) * z2
            inside = inside & (depth >= near) & (row <= row1) & (col <= col1)
            key = (depth.to(tl.int32, bitcast=True).to(tl.int64) << 32) | face.to(tl.int64)
            place = (image.to(tl.int64) * height + row) * width + col
            tl.atomic_min(nearest_ptr + place, key, mask=inside)


@_kernel
def _side(ax, ay, az, q_ptr, image, index, num_verts):
    x, y, z = _load_point(q_ptr, image, tl.maximum(index, 0), num_verts)
    return ax * x + ay * y + az * z > 0


@_kernel
def _offer_edges(
    q_ptr, edges_ptr, opposite_ptr, face_ptr, depth_ptr, outermost_ptr, num_verts, num_edges, height, width, near,
    LINES: tl.constexpr,
):  # fmt: skip
    """Test one edge, if it is an outline, against the pairs of pixels that it separates, and record it where it counts.

    `_reference.find_crossings` defines outlines, and which of them count.
    """
    edge, image = tl.program_id(0) % num_edges, tl.program_id(0) // num_edges
    xi, yi, zi = _load_point(q_ptr, image, tl.load(edges_ptr + edge * 2), num_verts)
    xj, yj, zj = _load_point(q_ptr, image, tl.load(edges_ptr + edge * 2 + 1), num_verts)
    nx, ny, nz = yi * zj - zi * yj, zi * xj - xi * zj, xi * yj - yi * xj
    third, other = tl.load(opposite_ptr + edge * 2), tl.load(opposite_ptr + edge * 2 + 1)
    side = _side(nx, ny, nz, q_ptr, image, third, num_verts)
    outline = (other < 0) | (side == _side(nx, ny, nz, q_ptr, image, other, num_verts))
    outline = outline & ((zi >= near) | (zj >= near))
    # Its part beyond the near plane: steep edges are followed by rows, flat ones by columns.
    t = (near - zi) / tl.where(zi == zj, 1.0, zj - zi)
    ti, tj = tl.where(zi < near, t, 0.0), tl.where(zj < near, t, 1.0)
    da, db = tl.maximum(zi + ti * (zj - zi), near), tl.maximum(zi + tj * (zj - zi), near)
    ua, ub = (xi + ti * (xj - xi)) / da, (xi + tj * (xj - xi)) / db
    va, vb = (yi + ti * (yj - yi)) / da, (yi + tj * (yj - yi)) / db
    steep = tl.abs(vb - va) >= tl.abs(ub - ua)
    ai, aj, bi, bj = tl.where(steep, xi, yi), tl.where(steep, xj, yj), tl.where(steep, yi, xi), tl.where(steep, yj, xj)
    lines, places = tl.where(steep, height, width), tl.where(steep, width, height)
    start, end = (
        tl.where(steep, tl.minimum(va, vb), tl.minimum(ua, ub)),
        tl.where(steep, tl.maximum(va, vb), tl.maximum(ua, ub)),
    )
    first_inside = (tl.where(steep, nx, ny) < 0) == side
    line0 = tl.ceil(tl.minimum(tl.maximum(start - 0.501, 0.0), lines * 1.0)).to(tl.int32)
    line1 = tl.ceil(tl.minimum(tl.maximum(end - 0.499, 0.0), lines * 1.0)).to(tl.int32)
    line1 = tl.where(outline, line1, line0)
    for line_start in range(line0, line1, LINES):
        line = line_start + tl.arange(0, LINES)
        di, dj = bi - (line + 0.5) * zi, bj - (line + 0.5) * zj
        meets = ((di >= 0) != (dj >= 0)) & (line < line1)
        m = tl.where(meets, zi * dj - zj * di, 1.0)
        depth = m / tl.where(meets, dj - di, 1.0)
        at = (ai * dj - aj * di) / m - 0.5
        meets = meets & (depth >= near) & (at >= 0) & (at < places - 1)
        first = tl.where(meets, at, 0.0).to(tl.int32)
        pixel = tl.where(steep, line * width + first, first * width + line) + image.to(tl.int64) * height * width
        beside = pixel + tl.where(steep, 1, width)
        inner, outer = tl.where(first_inside, pixel, beside), tl.where(first_inside, beside, pixel)
        face_in, face_out = tl.load(face_ptr + inner, meets, -1), tl.load(face_ptr + outer, meets, -1)
        z_in, z_out = tl.load(depth_ptr + inner, meets, 0.0), tl.load(depth_ptr + outer, meets, 0.0)
        meets = meets & (face_in >= 0) & (face_in != face_out) & (z_out > depth) & (z_out > z_in)
        reach = tl.where(first_inside, at - first, 1.0 - (at - first))
        key = (reach.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (0x7FFFFFFF - edge).to(tl.int64)
        place = pixel + (image.to(tl.int64) + tl.where(steep, 0, 1)) * height * width
        tl.atomic_max(outermost_ptr + place, key, mask=meets)
