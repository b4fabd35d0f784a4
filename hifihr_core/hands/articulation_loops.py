"""Articulation on a CPU as compiled loops: one call instead of thirty operations on tiny tensors.

The arithmetic is in double precision; results have the dtype of the arrays they are written to. Bones are computed one
by one from the wrist outwards, and gradients in reverse order.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from hifihr_core.machine.kernels import helper, kernel


@kernel
def bend_bones(
    vectors: Float[np.ndarray, "B J 3"],
    rest_joints: Float[np.ndarray, "B J 3"],
    parents: Int64[np.ndarray, " J"],
    bends: Float[np.ndarray, "B J 3 3"],
    motions: Float[np.ndarray, "B J 3 4"],
) -> None:
    """Fill `bends` with R - I of every rotation vector, and `motions` with each bone's [R | t] from rest to pose."""
    own = np.empty((3, 4))
    for b in range(vectors.shape[0]):
        for j in range(vectors.shape[1]):
            _bend(vectors[b, j], bends[b, j])
            _local(bends[b, j], rest_joints[b, j], own)
            out = motions[b, j]
            if parents[j] < 0:
                out[:] = own
            else:
                above = motions[b, parents[j]]
                for i in range(3):
                    for k in range(4):
                        out[i, k] = above[i, 0] * own[0, k] + above[i, 1] * own[1, k] + above[i, 2] * own[2, k]
                    out[i, 3] += above[i, 3]


@kernel
def unbend_bones(
    vectors: Float[np.ndarray, "B J 3"],
    rest_joints: Float[np.ndarray, "B J 3"],
    parents: Int64[np.ndarray, " J"],
    bends: Float[np.ndarray, "B J 3 3"],
    motions: Float[np.ndarray, "B J 3 4"],
    grad_bends: Float[np.ndarray, "B J 3 3"],
    grad_motions: Float[np.ndarray, "B J 3 4"],
    grad_vectors: Float[np.ndarray, "B J 3"],
    grad_rest: Float[np.ndarray, "B J 3"],
) -> None:
    """Write the gradients of the rotation vectors and rest joints, given those of the results of `bend_bones`."""
    count = vectors.shape[1]
    own, grads, turn, shift = np.empty((3, 4)), np.empty((count, 3, 4)), np.empty((3, 3)), np.empty(3)
    for b in range(vectors.shape[0]):
        grads[:] = grad_motions[b]
        for j in range(count - 1, -1, -1):
            turn[:], shift[:] = grads[j, :, :3], grads[j, :, 3]
            rest = rest_joints[b, j]
            if parents[j] >= 0:
                _local(bends[b, j], rest, own)
                _to_parent(motions[b, parents[j]], own, grads[j], grads[parents[j]], turn, shift)
            # A local motion rotates about the rest joint r: its shift is -(R - I) r.
            for i in range(3):
                grad_rest[b, j, i] = -(
                    bends[b, j, 0, i] * shift[0] + bends[b, j, 1, i] * shift[1] + bends[b, j, 2, i] * shift[2]
                )
                for k in range(3):
                    turn[i, k] += grad_bends[b, j, i, k] - shift[i] * rest[k]
            _unbend(vectors[b, j], turn, grad_vectors[b, j])


@helper
def _halves(vector: Any) -> tuple[float, float, float]:
    """Return cos h, u = sin h / (2 h), and the factor k in du/dv = k v, for a rotation vector v and h = |v| / 2."""
    h = 0.5 * math.sqrt(float(vector[0]) ** 2 + float(vector[1]) ** 2 + float(vector[2]) ** 2)
    if h < 1e-3:
        return math.cos(h), 0.5 - h * h / 12, -1 / 24 + h * h / 240
    return math.cos(h), math.sin(h) / (2 * h), (h * math.cos(h) - math.sin(h)) / (8 * h**3)


@helper
def _bend(vector: Any, out: Any) -> None:
    """Write R - I of a rotation vector, computed from its unit quaternion (w, x, y, z)."""
    w, u, _ = _halves(vector)
    x, y, z = u * vector[0], u * vector[1], u * vector[2]
    out[0, 0], out[0, 1], out[0, 2] = -2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    out[1, 0], out[1, 1], out[1, 2] = 2 * (x * y + w * z), -2 * (x * x + z * z), 2 * (y * z - w * x)
    out[2, 0], out[2, 1], out[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), -2 * (x * x + y * y)


@helper
def _local(bend: Any, rest: Any, out: Any) -> None:
    """Write the motion [R | t] of a bone relative to its parent, given `bend`, which is R - I, and its rest joint."""
    for i in range(3):
        for k in range(3):
            out[i, k] = bend[i, k]
        out[i, i] += 1.0
        out[i, 3] = -(bend[i, 0] * rest[0] + bend[i, 1] * rest[1] + bend[i, 2] * rest[2])


@helper
def _to_parent(above: Any, own: Any, grad: Any, grad_above: Any, turn: Any, shift: Any) -> None:
    """Add to the gradient of the parent's motion (`grad_above`), and write that of the local motion to `turn`, `shift`.

    `grad` is the gradient of the bone's motion, [A R | A t + a] for the parent's motion `above` = [A | a] and the local
    motion `own` = [R | t].
    """
    for i in range(3):
        for k in range(3):
            grad_above[i, k] += (
                grad[i, 0] * own[k, 0] + grad[i, 1] * own[k, 1] + grad[i, 2] * own[k, 2] + grad[i, 3] * own[k, 3]
            )
            turn[i, k] = above[0, i] * grad[0, k] + above[1, i] * grad[1, k] + above[2, i] * grad[2, k]
        grad_above[i, 3] += grad[i, 3]
        shift[i] = above[0, i] * grad[0, 3] + above[1, i] * grad[1, 3] + above[2, i] * grad[2, 3]


@helper
def _unbend(vector: Any, g: Any, out: Any) -> None:
    """Write the gradient of a rotation vector, given that of R - I (`g`)."""
    w, u, k = _halves(vector)
    x, y, z = u * vector[0], u * vector[1], u * vector[2]
    of_w = 2 * (x * (g[2, 1] - g[1, 2]) + y * (g[0, 2] - g[2, 0]) + z * (g[1, 0] - g[0, 1]))
    of_x = 2 * (
        y * (g[0, 1] + g[1, 0]) + z * (g[0, 2] + g[2, 0]) + w * (g[2, 1] - g[1, 2]) - 2 * x * (g[1, 1] + g[2, 2])
    )
    of_y = 2 * (
        x * (g[0, 1] + g[1, 0]) + z * (g[1, 2] + g[2, 1]) + w * (g[0, 2] - g[2, 0]) - 2 * y * (g[0, 0] + g[2, 2])
    )
    of_z = 2 * (
        x * (g[0, 2] + g[2, 0]) + y * (g[1, 2] + g[2, 1]) + w * (g[1, 0] - g[0, 1]) - 2 * z * (g[0, 0] + g[1, 1])
    )
    along = k * (of_x * vector[0] + of_y * vector[1] + of_z * vector[2]) - 0.5 * u * of_w
    out[0], out[1], out[2] = u * of_x + along * vector[0], u * of_y + along * vector[1], u * of_z + along * vector[2]
