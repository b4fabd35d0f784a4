"""CPU kernels for shading: ambient, sky and directional light, Lambert and a highlight, in one pass."""

import math

import numpy as np

from hifihr_core.machine.kernels import helper, kernel
from hifihr_core.rendering.skylight import AXIAL, FIRST, MIXED, SADDLE

BLINN_PHONG, PHONG = 0, 1


@helper
def _to_linear(value):
    """Return the linear light of an sRGB value (IEC 61966-2-1), and its derivative."""
    if value <= 0.04045:
        return value / 12.92, 1 / 12.92
    base = (value + 0.055) / 1.055
    power = base**1.4
    return power * base, 2.4 / 1.055 * power


@helper
def _to_srgb(value):
    """Return the sRGB value of linear light, and its derivative."""
    if value <= 0.0031308:
        return 12.92 * value, 12.92
    root = value ** (1 / 2.4)
    return 1.055 * root - 0.055, 1.055 / 2.4 * root / value


@helper
def _highlight(normal, toward, view, half, facing, kind):
    """Return the cosine c of the highlight (see `_reference.shade`), and the length of l + v.

    The cosine is 0 if the surface faces away from the light. l and v are the directions towards light and camera. For
    Blinn-Phong, `half` is filled with the unit vector along l + v; for Phong, which does not need it, the length is 1.
    """
    if facing <= 0:
        return 0.0, 1.0
    if kind == PHONG:
        cosine = 0.0
        for c in range(3):
            cosine += (2 * facing * normal[c] - toward[c]) * view[c]
        return max(cosine, 0.0), 1.0
    squared = 0.0
    for c in range(3):
        half[c] = toward[c] + view[c]
        squared += half[c] * half[c]
    if squared == 0:
        return 0.0, 1.0
    length = math.sqrt(squared)
    cosine = 0.0
    for c in range(3):
        half[c] /= length
        cosine += normal[c] * half[c]
    return max(cosine, 0.0), length


@helper
def _view(K_inverse, row, col, view):
    """Fill `view` with the unit vector from a pixel's surface towards the camera."""
    squared = 0.0
    for c in range(3):
        view[c] = -(K_inverse[c, 0] * (col + 0.5) + K_inverse[c, 1] * (row + 0.5) + K_inverse[c, 2])
        squared += view[c] * view[c]
    length = math.sqrt(squared)
    for c in range(3):
        view[c] /= length


@helper
def _sky(normal, basis):
    """Fill `basis` (8) with the polynomials of `sky_basis` at a normal."""
    x, y, z = normal[0], normal[1], normal[2]
    basis[0], basis[1], basis[2] = FIRST * x, FIRST * y, FIRST * z
    basis[3], basis[4], basis[5] = MIXED * x * y, MIXED * y * z, MIXED * x * z
    basis[6], basis[7] = SADDLE * (x * x - y * y), AXIAL * (3 * z * z - 1)


@helper
def _sky_slope(normal, g, slope):
    """Fill `slope` (3) with the gradient of ``sum_k g[k] * Y_k(n)`` in the normal n; Y are those of `sky_basis`."""
    x, y, z = normal[0], normal[1], normal[2]
    slope[0] = FIRST * g[0] + MIXED * (g[3] * y + g[5] * z) + 2 * SADDLE * g[6] * x
    slope[1] = FIRST * g[1] + MIXED * (g[3] * x + g[4] * z) - 2 * SADDLE * g[6] * y
    slope[2] = FIRST * g[2] + MIXED * (g[4] * y + g[5] * x) + 6 * AXIAL * g[7] * z


@helper
def _from_above(light, has_sky, basis, c):
    """Return the sum of ambient and sky light in channel c."""
    level = float(light[0, c])
    if has_sky:
        for k in range(8):
            level += light[3 + k, c] * basis[k]
    return level


@kernel
def shade(albedo, normals, face, K_inverse, light, material, kind, linear, white, reach, row_first, row_end, out):
    """Fill rows of `out` (H, W, 3) with the colour of the surface, 0 where there is no face; see `_reference.shade`.

    The rows of `light` are ambient, colour, direction and, optionally, the eight of the sky. `material` is (ambient,
    diffuse, specular, shininess). `reach` (H, W, 2) holds the fractions of sky and directional light that arrive; if it
    has no rows, all light arrives.
    """
    view, half, normal, toward, basis = np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(8)
    has_sky, shaded = light.shape[0] > 3, reach.shape[0] > 0
    for c in range(3):
        toward[c] = light[2, c]
    for row in range(row_first, row_end):
        for col in range(face.shape[1]):
            if face[row, col] < 0:
                for c in range(3):
                    out[row, col, c] = 0
                continue
            facing = 0.0
            for c in range(3):
                normal[c] = normals[row, col, c]
                facing += normal[c] * toward[c]
            shine, sky, sun = 0.0, material[0], 1.0
            if shaded:
                sky, sun = sky * reach[row, col, 0], float(reach[row, col, 1])
            if has_sky:
                _sky(normal, basis)
            if material[2] != 0 and facing > 0 and sun > 0:
                _view(K_inverse, row, col, view)
                cosine, _ = _highlight(normal, toward, view, half, facing, kind)
                shine = sun * material[2] * cosine ** material[3]
            facing = max(facing, 0.0) * material[1] * sun
            for c in range(3):
                base = albedo[row, col, c]
                if linear:
                    base = _to_linear(base)[0]
                glow = shine if white else shine * light[1, c]
                value = base * (sky * _from_above(light, has_sky, basis, c) + light[1, c] * facing) + glow
                out[row, col, c] = _to_srgb(value)[0] if linear else value


@kernel
def shade_backward(
    albedo, normals, face, K_inverse, light, material, kind, linear, white, reach, grad_out, row_first, row_end,
    grad_albedo, grad_normals, grad_light,
):  # fmt: skip
    """Compute the gradient of `shade`: fill rows of `grad_albedo` and `grad_normals`, add to `grad_light`."""
    view, half, normal, toward, basis = np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(8)
    grad_basis, grad_slope = np.empty(8), np.zeros(3)
    has_sky, shaded = light.shape[0] > 3, reach.shape[0] > 0
    for c in range(3):
        toward[c] = light[2, c]
    for row in range(row_first, row_end):
        for col in range(face.shape[1]):
            for c in range(3):
                grad_albedo[row, col, c], grad_normals[row, col, c] = 0, 0
            if face[row, col] < 0:
                continue
            facing = 0.0
            for c in range(3):
                normal[c] = normals[row, col, c]
                facing += normal[c] * toward[c]
            shine, slope, length, sky, sun = 0.0, 0.0, 1.0, material[0], 1.0
            if shaded:
                sky, sun = sky * reach[row, col, 0], float(reach[row, col, 1])
            if has_sky:
                _sky(normal, basis)
                grad_basis[:] = 0
            if material[2] != 0 and facing > 0 and sun > 0:
                _view(K_inverse, row, col, view)
                cosine, length = _highlight(normal, toward, view, half, facing, kind)
                if cosine > 0:
                    slope = sun * material[2] * material[3] * cosine ** (material[3] - 1)
                    shine = sun * material[2] * cosine ** material[3]
            lit = sun * max(facing, 0.0)
            grad_facing, grad_shine = 0.0, 0.0
            for c in range(3):
                g, base, bend = grad_out[row, col, c], albedo[row, col, c], 1.0
                level = sky * _from_above(light, has_sky, basis, c) + material[1] * light[1, c] * lit
                tint = 1.0 if white else light[1, c]
                if linear:
                    base, bend = _to_linear(base)
                    g *= _to_srgb(base * level + shine * tint)[1]
                grad_albedo[row, col, c] = g * level * bend
                grad_light[0, c] += g * base * sky
                grad_light[1, c] += g * (base * material[1] * lit + (0.0 if white else shine))
                grad_facing += g * base * material[1] * light[1, c] * sun
                grad_shine += g * tint
                if has_sky:
                    for k in range(8):
                        grad_light[3 + k, c] += g * base * sky * basis[k]
                        grad_basis[k] += g * base * sky * light[3 + k, c]
            if has_sky:
                _sky_slope(normal, grad_basis, grad_slope)
                for c in range(3):
                    grad_normals[row, col, c] = grad_slope[c]
            if facing <= 0:
                continue
            grad_cosine = grad_shine * slope
            if kind == PHONG and grad_cosine != 0:
                along = 0.0
                for c in range(3):
                    along += normal[c] * view[c]
                grad_facing += 2 * grad_cosine * along
            for c in range(3):
                grad_n, grad_l = grad_facing * toward[c], grad_facing * normal[c]
                if grad_cosine != 0:
                    if kind == PHONG:
                        grad_n += grad_cosine * 2 * facing * view[c]
                        grad_l -= grad_cosine * view[c]
                    else:
                        grad_n += grad_cosine * half[c]
                        grad_l += grad_cosine * (normal[c] - cosine * half[c]) / length
                grad_normals[row, col, c] += grad_n
                grad_light[2, c] += grad_l
