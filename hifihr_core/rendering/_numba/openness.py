"""CPU kernel: the fraction of the sky that every vertex of a mesh sees past the rest of the mesh."""

import math

import numpy as np

from hifihr_core.machine.kernels import kernel

_PI, _LITTLE = np.float32(math.pi), np.float32(1e-20)


@kernel
def open_sky(points, normals, areas, out):
    """Fill `out` (V) with the fraction of the sky that each vertex sees; see `_reference.open_sky`.

    `points` and `normals` are (3, V), `areas` is (V); all arrays are float32. The inner loop runs over the receiving
    vertices, so that it compiles to vector instructions.
    """
    count, none, one = points.shape[1], np.float32(0), np.float32(1)
    hidden = np.zeros(count, np.float32)
    for j in range(count):
        x, y, z, area = points[0, j], points[1, j], points[2, j], areas[j]
        nx, ny, nz = normals[0, j], normals[1, j], normals[2, j]
        for i in range(count):
            dx, dy, dz = x - points[0, i], y - points[1, i], z - points[2, i]
            squared = dx * dx + dy * dy + dz * dz
            above = max(normals[0, i] * dx + normals[1, i] * dy + normals[2, i] * dz, none)
            towards = max(-(nx * dx + ny * dy + nz * dz), none)
            hidden[i] += above * towards * area / (squared * (_PI * squared + area) + _LITTLE)
    for i in range(count):
        out[i] = max(one - hidden[i], none)
