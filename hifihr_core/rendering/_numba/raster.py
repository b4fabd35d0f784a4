"""CPU rasteriser: which face is seen through every pixel, where on it, and the gradient of that place.

Everything is computed in homogeneous pixels q = K p = (u z, v z, z). With r = (u, v, 1) at a pixel's centre, the
weights w_i = r . (q_j x q_k) have one sign exactly where the ray meets the triangle (Olano and Greer 1997), also when
some of its corners are behind the camera; w_i / sum(w) are the barycentrics on the triangle in space, hence
perspective-correct. Since sum(w_i q_i) = det(q_i, q_j, q_k) r, the depth is det / sum(w): its inverse is linear in the
pixel, and pixels compare inverse depths, which takes no division. The near plane is a test of that depth, so faces that
cross it are cut exactly. Coefficients are held in double precision; the edge shared by two faces has exactly opposite
weights in them, so no pixel is lost between neighbours.
"""

import math

from hifihr_core.rendering._numba.jit import helper, kernel

KEEP, CULL_BACK, CULL_FRONT = 0, 1, 2


@helper
def _box(q, i, j, k, near, row_first, row_end, width):
    """Return the pixels (first and last row and column) whose centres the visible part of a face may cover."""
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
    # A millionth of a pixel more on each side keeps rounding from losing a centre that lies on the border.
    row0 = math.ceil(min(max(v_low - 0.500001, float(row_first)), float(row_end)))
    row1 = math.floor(max(min(v_high - 0.499999, float(row_end - 1)), float(row_first - 1)))
    col0 = math.ceil(min(max(u_low - 0.500001, 0.0), float(width)))
    col1 = math.floor(max(min(u_high - 0.499999, float(width - 1)), -1.0))
    return row0, row1, col0, col1


@kernel
def find_faces(q, faces, near, cull, row_first, row_end, nearest, face, bary, depth):
    """Fill rows [row_first, row_end) of one image with the nearest face, its barycentrics and its depth.

    `nearest` is room for the inverse depth of these rows in double precision, all zero; what the other arrays hold does
    not matter. Of faces at the same depth the first is kept.
    """
    width = face.shape[1]
    limit = 1 / near
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        z0, z1, z2 = q[i, 2], q[j, 2], q[k, 2]
        if z0 < near and z1 < near and z2 < near:
            continue
        row0, row1, col0, col1 = _box(q, i, j, k, near, row_first, row_end, width)
        if row0 > row1 or col0 > col1:
            continue
        x0, y0, x1, y1 = q[i, 0], q[i, 1], q[j, 0], q[j, 1]
        x2, y2 = q[k, 0], q[k, 1]
        a0, b0, c0 = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
        a1, b1, c1 = y2 * z0 - z2 * y0, z2 * x0 - x2 * z0, x2 * y0 - y2 * x0
        a2, b2, c2 = y0 * z1 - z0 * y1, z0 * x1 - x0 * z1, x0 * y1 - y0 * x1
        volume = x0 * a0 + y0 * b0 + z0 * c0  # > 0: seen from behind, as pixels have v pointing down
        if volume == 0 or (cull == CULL_BACK and volume > 0) or (cull == CULL_FRONT and volume < 0):
            continue
        per_volume = 1 / abs(volume)
        if volume < 0:
            a0, b0, c0, a1, b1, c1, a2, b2, c2 = -a0, -b0, -c0, -a1, -b1, -c1, -a2, -b2, -c2
        for row in range(row0, row1 + 1):
            v = row + 0.5
            r0, r1, r2 = b0 * v + c0, b1 * v + c1, b2 * v + c2
            entered = False
            for col in range(col0, col1 + 1):
                u = col + 0.5
                w0, w1, w2 = a0 * u + r0, a1 * u + r1, a2 * u + r2
                if w0 >= 0 and w1 >= 0 and w2 >= 0:
                    entered = True
                    total = w0 + w1 + w2
                    inverse = total * per_volume
                    if nearest[row - row_first, col] < inverse <= limit:
                        nearest[row - row_first, col] = inverse
                        face[row, col] = f
                        scale = 1 / total
                        bary[row, col, 0], bary[row, col, 1], bary[row, col, 2] = w0 * scale, w1 * scale, w2 * scale
                elif entered:
                    break
    for row in range(row_first, row_end):
        for col in range(width):
            inverse = nearest[row - row_first, col]
            if inverse > 0:
                depth[row, col] = 1 / inverse
            else:
                face[row, col], depth[row, col] = -1, math.inf
                bary[row, col, 0], bary[row, col, 1], bary[row, col, 2] = 0, 0, 0


@kernel
def surface_backward(q, faces, face, bary, grad_bary, grad_depth, row_first, row_end, grad_q):
    """Add to `grad_q` (V, 3) what rows [row_first, row_end) of the gradients of barycentrics and depth say of q."""
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
