"""CPU rasteriser: the face seen through every pixel, the position on it, and the gradient of that position.

Everything is computed in homogeneous pixels q = K p = (u z, v z, z). With r = (u, v, 1) at a pixel's centre, the
weights w_i = r . (q_j x q_k) all have the same sign exactly where the ray meets the triangle (Olano and Greer 1997),
even if some of its corners are behind the camera; w_i / sum(w) are the barycentrics on the triangle in space, hence
perspective-correct. Since sum(w_i q_i) = det(q_i, q_j, q_k) r, the depth is det / sum(w). Its inverse is linear in the
pixel's coordinates, and inverse depths are compared, which needs no division. The near plane is a test of that depth,
so faces that cross it are cut exactly. Coefficients are in double precision; two faces have exactly opposite weights
for the edge that they share, so no pixel is lost between neighbours.
"""

import math

import numpy as np

from hifihr_core.machine.kernels import helper, kernel

KEEP, CULL_BACK, CULL_FRONT = 0, 1, 2
#: Columns are tested in multiples of this number: the doubles in the widest vectors (512 bits).
LANES = 8


@helper
def _box(q, i, j, k, near, row_first, row_end, width):
    """Return first and last row, first and last column of the pixels whose centres a face may cover."""
    u_low, v_low, u_high, v_high = math.inf, math.inf, -math.inf, -math.inf
    corner = (i, j, k)
    for c in range(3):
        a, b = corner[c], corner[(c + 1) % 3]
        za, zb = q[a, 2], q[b, 2]
        if za >= near:
            u, v = q[a, 0] / za, q[a, 1] / za
            u_low, u_high, v_low, v_high = min(u_low, u), max(u_high, u), min(v_low, v), max(v_high, v)
        if (za >= near) != (zb >= near):
            t = (near - za) / (zb - za)
            u, v = (q[a, 0] + t * (q[b, 0] - q[a, 0])) / near, (q[a, 1] + t * (q[b, 1] - q[a, 1])) / near
            u_low, u_high, v_low, v_high = min(u_low, u), max(u_high, u), min(v_low, v), max(v_high, v)
    # A margin of a millionth of a pixel keeps rounding from losing a centre exactly on the border.
    row0 = math.ceil(min(max(v_low - 0.500001, float(row_first)), float(row_end)))
    row1 = math.floor(max(min(v_high - 0.499999, float(row_end - 1)), float(row_first - 1)))
    col0 = math.ceil(min(max(u_low - 0.500001, 0.0), float(width)))
    col1 = math.floor(max(min(u_high - 0.499999, float(width - 1)), -1.0))
    return row0, row1, col0, col1


@helper
def _weigh(q, i, j, k, cull, weights):
    """Fill `weights` (3, 3) with the coefficients (a, b, c) of each corner's weight, and return 1 / |det|.

    The weight w = a u + b v + c of every corner is at least 0 inside the face; the sum of the weights times 1 / |det|
    is the inverse depth. Returns 0 for a face that is culled or seen edge-on.
    """
    x0, y0, z0 = q[i, 0], q[i, 1], q[i, 2]
    x1, y1, z1 = q[j, 0], q[j, 1], q[j, 2]
    x2, y2, z2 = q[k, 0], q[k, 1], q[k, 2]
    a, b, c = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
    det = x0 * a + y0 * b + z0 * c  # > 0: seen from behind, as pixels have v pointing down
    if det == 0 or (cull == CULL_BACK and det > 0) or (cull == CULL_FRONT and det < 0):
        return 0.0
    s = 1 if det > 0 else -1
    weights[0, 0], weights[0, 1], weights[0, 2] = s * a, s * b, s * c
    weights[1, 0], weights[1, 1] = s * (y2 * z0 - z2 * y0), s * (z2 * x0 - x2 * z0)
    weights[2, 0], weights[2, 1] = s * (y0 * z1 - z0 * y1), s * (z0 * x1 - x0 * z1)
    weights[1, 2], weights[2, 2] = s * (x2 * y0 - y2 * x0), s * (x0 * y1 - y0 * x1)
    return 1 / abs(det)


@kernel
def find_faces(q, faces, near, cull, row_first, row_end, face, bary, depth):
    """Fill rows [row_first, row_end) of one image with the nearest face, its barycentrics and its depth.

    The arrays may be uninitialised. Of faces at the same depth the first is kept. The loop over columns has no branches
    and runs in multiples of `LANES`, so that it compiles to vector instructions: unnecessary tests cost less than
    unpredictable branches.
    """
    limit = 1 / near
    room = (row_end - row_first, face.shape[1] + LANES)  # the last columns are tested only to fill a vector
    nearest, found = np.zeros(room), np.empty(room, face.dtype)  # inverse depth, face
    weights = np.empty((faces.shape[0], 3, 3))
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if q[i, 2] < near and q[j, 2] < near and q[k, 2] < near:
            continue
        row0, row1, col0, col1 = _box(q, i, j, k, near, row_first, row_end, face.shape[1])
        if row0 > row1 or col0 > col1:
            continue
        per_det, w = _weigh(q, i, j, k, cull, weights[f]), weights[f]
        if per_det == 0:
            continue
        a0, a1, a2 = w[0, 0], w[1, 0], w[2, 0]
        # Unsigned, because numba adds a branch for indices that could be negative.
        first, end = np.uint64(col0), np.uint64(col0 + (col1 - col0 + LANES) // LANES * LANES)
        for row in range(row0, row1 + 1):
            v, line = row + 0.5, np.uint64(row - row_first)
            r0, r1, r2 = w[0, 1] * v + w[0, 2], w[1, 1] * v + w[1, 2], w[2, 1] * v + w[2, 2]
            for col in range(first, end):
                u = col + 0.5
                w0, w1, w2 = a0 * u + r0, a1 * u + r1, a2 * u + r2
                inverse = (w0 + w1 + w2) * per_det
                inside = (w0 >= 0) & (w1 >= 0) & (w2 >= 0) & (inverse <= limit)
                held, seen = nearest[line, col], inverse if inside else 0.0
                nearest[line, col] = max(held, seen)
                found[line, col] = f if seen > held else found[line, col]
    _fill(nearest, found, weights, row_first, row_end, face, bary, depth)


@helper
def _fill(nearest, found, w, row_first, row_end, face, bary, depth):
    """Write face, barycentrics and depth to rows [row_first, row_end), from the inverse depths in `nearest`."""
    face[row_first:row_end], bary[row_first:row_end], depth[row_first:row_end] = -1, 0, math.inf
    for row in range(row_first, row_end):
        v = row + 0.5
        for col in range(face.shape[1]):
            inverse = nearest[row - row_first, col]
            if inverse == 0:
                continue
            u, f = col + 0.5, found[row - row_first, col]
            w0 = w[f, 0, 0] * u + (w[f, 0, 1] * v + w[f, 0, 2])
            w1 = w[f, 1, 0] * u + (w[f, 1, 1] * v + w[f, 1, 2])
            w2 = w[f, 2, 0] * u + (w[f, 2, 1] * v + w[f, 2, 2])
            scale = 1 / (w0 + w1 + w2)
            face[row, col], depth[row, col] = f, 1 / inverse
            bary[row, col, 0], bary[row, col, 1], bary[row, col, 2] = w0 * scale, w1 * scale, w2 * scale


@kernel
def surface_backward(q, faces, face, bary, grad_bary, grad_depth, row_first, row_end, grad_q):
    """Compute the gradient of `find_faces`: add that of rows [row_first, row_end) to `grad_q` (V, 3)."""
    for row in range(row_first, row_end):
        v = row + 0.5
        for col in range(face.shape[1]):
            f = face[row, col]
            if f < 0:
                continue
            u = col + 0.5
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            z0, z1, z2 = q[i, 2], q[j, 2], q[k, 2]
            x0, y0 = q[i, 0] - u * z0, q[i, 1] - v * z0
            x1, y1 = q[j, 0] - u * z1, q[j, 1] - v * z1
            x2, y2 = q[k, 0] - u * z2, q[k, 1] - v * z2
            total = (x1 * y2 - y1 * x2) + (x2 * y0 - y2 * x0) + (x0 * y1 - y0 * x1)
            m0, m1, m2 = bary[row, col, 0], bary[row, col, 1], bary[row, col, 2]
            gz = grad_depth[row, col]
            g0 = grad_bary[row, col, 0] + gz * z0
            g1 = grad_bary[row, col, 1] + gz * z1
            g2 = grad_bary[row, col, 2] + gz * z2
            mean = g0 * m0 + g1 * m1 + g2 * m2
            h0, h1, h2 = (g0 - mean) / total, (g1 - mean) / total, (g2 - mean) / total
            gx, gy = h2 * y1 - h1 * y2, h1 * x2 - h2 * x1
            grad_q[i, 0] += gx
            grad_q[i, 1] += gy
            grad_q[i, 2] += gz * m0 - u * gx - v * gy
            gx, gy = h0 * y2 - h2 * y0, h2 * x0 - h0 * x2
            grad_q[j, 0] += gx
            grad_q[j, 1] += gy
            grad_q[j, 2] += gz * m1 - u * gx - v * gy
            gx, gy = h1 * y0 - h0 * y1, h0 * x1 - h1 * x0
            grad_q[k, 0] += gx
            grad_q[k, 1] += gy
            grad_q[k, 2] += gz * m2 - u * gx - v * gy
