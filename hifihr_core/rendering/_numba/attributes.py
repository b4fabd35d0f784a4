"""CPU kernels for per-pixel values: interpolation over a face, and bilinear lookup in a texture."""

import math

from hifihr_core.machine.kernels import helper, kernel


@kernel
def interpolate(attributes, faces, face, bary, unit, row_first, row_end, out):
    """Fill rows of `out` (H, W, C) with barycentric means of the corners' attributes (V, C); unit vectors if `unit`."""
    channels = attributes.shape[1]
    for row in range(row_first, row_end):
        for col in range(face.shape[1]):
            f = face[row, col]
            if f < 0:
                for c in range(channels):
                    out[row, col, c] = 0
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            m0, m1, m2 = bary[row, col, 0], bary[row, col, 1], bary[row, col, 2]
            squared = 0.0
            for c in range(channels):
                value = m0 * attributes[i, c] + m1 * attributes[j, c] + m2 * attributes[k, c]
                out[row, col, c] = value
                squared += value * value
            if unit and squared > 0:
                scale = 1 / math.sqrt(squared)
                for c in range(channels):
                    out[row, col, c] *= scale


@kernel
def interpolate_backward(attributes, faces, face, bary, unit, grad_out, row_first, row_end, grad_attributes, grad_bary):
    """Compute the gradient of `interpolate`: add to `grad_attributes` (V, C), fill rows of `grad_bary` (H, W, 3)."""
    channels = attributes.shape[1]
    for row in range(row_first, row_end):
        for col in range(face.shape[1]):
            f = face[row, col]
            grad_bary[row, col, 0], grad_bary[row, col, 1], grad_bary[row, col, 2] = 0, 0, 0
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            m0, m1, m2 = bary[row, col, 0], bary[row, col, 1], bary[row, col, 2]
            scale, along = 1.0, 0.0
            if unit:
                squared = 0.0
                for c in range(channels):
                    value = m0 * attributes[i, c] + m1 * attributes[j, c] + m2 * attributes[k, c]
                    squared += value * value
                    along += value * grad_out[row, col, c]
                if squared > 0:
                    scale = 1 / math.sqrt(squared)
                    along = along / squared
            g0, g1, g2 = 0.0, 0.0, 0.0
            for c in range(channels):
                a0, a1, a2 = attributes[i, c], attributes[j, c], attributes[k, c]
                g = grad_out[row, col, c]
                if unit:
                    g = scale * (g - along * (m0 * a0 + m1 * a1 + m2 * a2))
                grad_attributes[i, c] += g * m0
                grad_attributes[j, c] += g * m1
                grad_attributes[k, c] += g * m2
                g0 += g * a0
                g1 += g * a1
                g2 += g * a2
            grad_bary[row, col, 0], grad_bary[row, col, 1], grad_bary[row, col, 2] = g0, g1, g2


@helper
def _place(coordinate, size):
    """Return the two texels around a coordinate (in texels), the weight of the second, and the weight's derivative.

    The derivative is 1, but 0 beyond the centres of the outer texels, where coordinates are clamped.
    """
    clamped = coordinate - 0.5
    moves = 1.0
    if not clamped >= 0:  # also for NaN
        clamped, moves = 0.0, 0.0
    elif clamped > size - 1:
        clamped, moves = size - 1.0, 0.0
    first = min(int(clamped), max(size - 2, 0))
    return first, min(first + 1, size - 1), clamped - first, moves


@kernel
def sample(texture, uv, face, row_first, row_end, out):
    """Fill rows of `out` (H, W, C) from `texture` (C, T, T) at `uv` (H, W, 2); 0 where `face` is -1."""
    channels, height, width = texture.shape
    for row in range(row_first, row_end):
        for col in range(face.shape[1]):
            if face[row, col] < 0:
                for c in range(channels):
                    out[row, col, c] = 0
                continue
            x0, x1, fx, _ = _place(uv[row, col, 0] * width, width)
            y0, y1, fy, _ = _place((1 - uv[row, col, 1]) * height, height)
            for c in range(channels):
                top = texture[c, y0, x0] * (1 - fx) + texture[c, y0, x1] * fx
                bottom = texture[c, y1, x0] * (1 - fx) + texture[c, y1, x1] * fx
                out[row, col, c] = top * (1 - fy) + bottom * fy


@kernel
def sample_backward(texture, uv, face, grad_out, row_first, row_end, grad_texture, grad_uv):
    """Compute the gradient of `sample`: add to `grad_texture` (C, T, T), and fill rows of `grad_uv` (H, W, 2)."""
    channels, height, width = texture.shape
    for row in range(row_first, row_end):
        for col in range(face.shape[1]):
            if face[row, col] < 0:
                grad_uv[row, col, 0], grad_uv[row, col, 1] = 0, 0
                continue
            x0, x1, fx, moves_x = _place(uv[row, col, 0] * width, width)
            y0, y1, fy, moves_y = _place((1 - uv[row, col, 1]) * height, height)
            gx, gy = 0.0, 0.0
            for c in range(channels):
                g = grad_out[row, col, c]
                t00, t01 = texture[c, y0, x0], texture[c, y0, x1]
                t10, t11 = texture[c, y1, x0], texture[c, y1, x1]
                gx += g * ((t01 - t00) * (1 - fy) + (t11 - t10) * fy)
                gy += g * ((t10 - t00) * (1 - fx) + (t11 - t01) * fx)
                grad_texture[c, y0, x0] += g * (1 - fx) * (1 - fy)
                grad_texture[c, y0, x1] += g * fx * (1 - fy)
                grad_texture[c, y1, x0] += g * (1 - fx) * fy
                grad_texture[c, y1, x1] += g * fx * fy
            grad_uv[row, col, 0] = gx * width * moves_x
            grad_uv[row, col, 1] = -gy * height * moves_y
