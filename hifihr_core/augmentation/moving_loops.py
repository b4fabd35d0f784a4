"""Compiled loops that place crops and move labels on a CPU: one call per batch instead of many small array operations.

The arrays of a batch are so small that calling a library costs more than the arithmetic. `moves` contains the
same functions for labels in plain torch; the tests contain the one for crops in NumPy.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Float32

from hifihr_core.machine.kernels import helper, kernel


@kernel
def move_points_px(
    points: Float32[np.ndarray, "B N 2"],
    T_new_old: Float32[np.ndarray, "B 3 3"],
    skips_zero: bool,
    out: Float32[np.ndarray, "B N 2"],
) -> None:
    """Write the points, moved by the affine map of their sample, to `out`; with `skips_zero`, (0, 0) is not moved."""
    for b in range(points.shape[0]):
        T = T_new_old[b]
        for n in range(points.shape[1]):
            u, v = points[b, n, 0], points[b, n, 1]
            if skips_zero and u == 0 and v == 0:
                out[b, n, 0], out[b, n, 1] = u, v
            else:
                out[b, n, 0] = T[0, 0] * u + T[0, 1] * v + T[0, 2]
                out[b, n, 1] = T[1, 0] * u + T[1, 1] * v + T[1, 2]


@kernel
def turn_points(
    points: Float32[np.ndarray, "B N 3"], M_new_old: Float32[np.ndarray, "B 3 3"], out: Float32[np.ndarray, "B N 3"]
) -> None:
    """Write the points, multiplied by the matrix of their sample, to `out`."""
    for b in range(points.shape[0]):
        M = M_new_old[b]
        for n in range(points.shape[1]):
            x, y, z = points[b, n, 0], points[b, n, 1], points[b, n, 2]
            out[b, n, 0] = M[0, 0] * x + M[0, 1] * y + M[0, 2] * z
            out[b, n, 1] = M[1, 0] * x + M[1, 1] * y + M[1, 2] * z
            out[b, n, 2] = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z


@kernel
def turn_rotations(
    rotvecs: Float32[np.ndarray, "B 3"], M_new_old: Float32[np.ndarray, "B 3 3"], out: Float32[np.ndarray, "B 3"]
) -> None:
    """Write each rotation, followed by the roll about z in `M_new_old`, to `out`: axis times angle, at most pi."""
    for b in range(rotvecs.shape[0]):
        roll = math.atan2(M_new_old[b, 1, 0], M_new_old[b, 1, 1]) / 2
        a, w = math.sin(roll), math.cos(roll)
        x, y, z = float(rotvecs[b, 0]), float(rotvecs[b, 1]), float(rotvecs[b, 2])
        angle = math.sqrt(x * x + y * y + z * z)
        ratio = 0.5 if angle < 1e-9 else math.sin(angle / 2) / angle
        x, y, z, v = ratio * x, ratio * y, ratio * z, math.cos(angle / 2)
        # The product of the quaternions (0, 0, a, w) and (x, y, z, v).
        x, y, z, v = w * x - a * y, w * y + a * x, w * z + a * v, w * v - a * z
        if v < 0:
            x, y, z, v = -x, -y, -z, -v
        sine = math.sqrt(x * x + y * y + z * z)
        ratio = 2.0 if sine < 1e-9 else 2 * math.atan2(sine, v) / sine
        out[b, 0], out[b, 1], out[b, 2] = ratio * x, ratio * y, ratio * z


@helper
def _roll(K: np.ndarray, cos: float, sin: float, T: np.ndarray) -> None:
    """Write K R K^-1, which rolls pixels about the principal point by the rotation R, into the first two rows of T."""
    a, b, c, d = K[0, 0], K[0, 1], K[1, 0], K[1, 1]
    det = a * d - b * c
    e, f, g, h = a * cos + b * sin, b * cos - a * sin, c * cos + d * sin, d * cos - c * sin
    T[0, 0], T[0, 1] = (e * d - f * c) / det, (f * a - e * b) / det
    T[1, 0], T[1, 1] = (g * d - h * c) / det, (h * a - g * b) / det
    for i in range(2):
        T[i, 2] = K[i, 2] - T[i, 0] * K[0, 2] - T[i, 1] * K[1, 2]


@kernel
def place_crops(
    angle_rad: Float[np.ndarray, " B"],
    mirrored: Bool[np.ndarray, " B"],
    zoom: Float[np.ndarray, " B"],
    shift_px: Float[np.ndarray, "B 2"],
    K: Float[np.ndarray, "B 3 3"],
    center_px: Float[np.ndarray, "B 2"],
    width_px: Float[np.ndarray, " B"],
    T_new_old: Float[np.ndarray, "B 3 3"],
    K_new: Float[np.ndarray, "B 3 3"],
    M_new_old: Float[np.ndarray, "B 3 3"],
) -> None:
    """Write `T_new_old`, `K_new` and `M_new_old` of each crop; see `draws.place`.

    `shift_px` is where the centre of the square, `center_px`, is in the crop, and `zoom` is the number of pixels of the
    crop per pixel of the picture. A picture that is neither rolled nor mirrored is only scaled and shifted, without the
    rounding errors of K K^-1.
    """
    for b in range(K.shape[0]):
        sign, offset = (-1.0, width_px[b]) if mirrored[b] else (1.0, 0.0)
        cos, sin = math.cos(angle_rad[b]), math.sin(angle_rad[b])
        T, M, A = T_new_old[b], M_new_old[b], K_new[b]
        M[:], T[:], A[:] = 0.0, 0.0, K[b]
        M[0, 0], M[0, 1], M[1, 0], M[1, 1], M[2, 2] = sign * cos, -sin, sign * sin, cos, 1.0
        for j in range(3):
            A[0, j] = sign * A[0, j] + offset * A[2, j]
        for i in range(3):
            A[i, 0] *= sign
        T[0, 0], T[1, 1], T[2, 2] = 1.0, 1.0, 1.0
        if mirrored[b] or angle_rad[b] != 0:
            _roll(A, cos, sin, T)
            for i in range(2):
                T[i, 2] += offset * T[i, 0]
                T[i, 0] *= sign
        u = T[0, 0] * center_px[b, 0] + T[0, 1] * center_px[b, 1] + T[0, 2]
        v = T[1, 0] * center_px[b, 0] + T[1, 1] * center_px[b, 1] + T[1, 2]
        left, top = shift_px[b, 0] - zoom[b] * u, shift_px[b, 1] - zoom[b] * v
        for j in range(3):
            T[0, j], T[1, j] = zoom[b] * T[0, j] + left * T[2, j], zoom[b] * T[1, j] + top * T[2, j]
            A[0, j], A[1, j] = zoom[b] * A[0, j] + left * A[2, j], zoom[b] * A[1, j] + top * A[2, j]
