"""CPU kernel for shading: ambient and directional light, Lambert and a highlight, in one pass."""

import math

import numpy as np

from hifihr_core.kernels import helper, kernel

BLINN_PHONG, PHONG = 0, 1


@helper
def _to_linear(value):
    """Return (linear light, slope) of an sRGB value (IEC 61966-2-1)."""
    if value <= 0.04045:
        return value / 12.92, 1 / 12.92
    base = (value + 0.055) / 1.055
    power = base**1.4
    return power * base, 2.4 / 1.055 * power


@helper
def _to_srgb(value):
    """Return (sRGB value, slope) of linear light."""
    if value <= 0.0031308:
        return 12.92 * value, 12.92
    root = value ** (1 / 2.4)
    return 1.055 * root - 0.055, 1.055 / 2.4 * root / value


@helper
def _highlight(normal, toward, view, half, facing, kind):
    """Return (cosine, length of the half vector): what the highlight's power is taken of; 0 in the shade."""
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


@kernel
def shade(albedo, normals, face, K_inverse, light, material, kind, linear, white, row_first, row_end, out):
    """Fill rows of `out` (H, W, 3); `light` rows are ambient, colour, direction; 0 where `face` is -1.

    `material` is (ambient, diffuse, specular, shininess).
    """
    view, half, normal, toward = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
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
            shine = 0.0
            if material[2] != 0 and facing > 0:
                _view(K_inverse, row, col, view)
                cosine, _ = _highlight(normal, toward, view, half, facing, kind)
                shine = material[2] * cosine ** material[3]
            facing = max(facing, 0.0) * material[1]
            for c in range(3):
                base = albedo[row, col, c]
                if linear:
                    base = _to_linear(base)[0]
                glow = shine if white else shine * light[1, c]
                value = base * (material[0] * light[0, c] + light[1, c] * facing) + glow
                out[row, col, c] = _to_srgb(value)[0] if linear else value


@kernel
def shade_backward(
    albedo, normals, face, K_inverse, light, material, kind, linear, white, grad_out, row_first, row_end,
    grad_albedo, grad_normals, grad_light,
):  # fmt: skip
    """Fill rows of the gradients of albedo and normals, and add to that of the light (3, 3)."""
    view, half, normal, toward = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
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
            shine, slope, length = 0.0, 0.0, 1.0
            if material[2] != 0 and facing > 0:
                _view(K_inverse, row, col, view)
                cosine, length = _highlight(normal, toward, view, half, facing, kind)
                if cosine > 0:
                    slope = material[2] * material[3] * cosine ** (material[3] - 1)
                    shine = material[2] * cosine ** material[3]
            lit = max(facing, 0.0)
            grad_facing, grad_shine = 0.0, 0.0
            for c in range(3):
                g, base, bend = grad_out[row, col, c], albedo[row, col, c], 1.0
                level = material[0] * light[0, c] + material[1] * light[1, c] * lit
                tint = 1.0 if white else light[1, c]
                if linear:
                    base, bend = _to_linear(base)
                    g *= _to_srgb(base * level + shine * tint)[1]
                grad_albedo[row, col, c] = g * level * bend
                grad_light[0, c] += g * base * material[0]
                grad_light[1, c] += g * (base * material[1] * lit + (0.0 if white else shine))
                grad_facing += g * base * material[1] * light[1, c]
                grad_shine += g * tint
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
                grad_normals[row, col, c] = grad_n
                grad_light[2, c] += grad_l
