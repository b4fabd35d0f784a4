"""The banded normal equations of a fit over time.

All variables of a frame are coupled; between frames, each variable is coupled only with itself in the next two frames.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded


@dataclass(frozen=True)
class TimeSystem:
    """A symmetric matrix A over T frames of D variables, of which only the nonzero entries are stored.

    ``blocks[t]`` couples the variables of frame t with each other. Concretely, ``next_one[t, d]`` couples variable d of
    frame t with variable d of frame t + 1, and ``next_two[t, d]`` with that of frame t + 2; all other entries are zero.
    """

    blocks: Float[np.ndarray, "T D D"]
    next_one: Float[np.ndarray, "T D"]
    next_two: Float[np.ndarray, "T D"]

    def diagonal(self) -> Float[np.ndarray, "T D"]:
        """Return the diagonal of A."""
        return np.diagonal(self.blocks, axis1=1, axis2=2)

    def solve(self, right: Float[np.ndarray, "T D"], damping: float = 0.0) -> Float[np.ndarray, "T D"]:
        """Return x with ``(A + damping * diag(A)) x = right``.

        Raises: LinAlgError if this matrix is not positive definite.
        """
        times, size = right.shape
        band = np.zeros((max(size, min(times - 1, 2) * size + 1), times * size))
        rows, columns = np.tril_indices(size)
        for row, column in zip(rows, columns, strict=True):  # lower form: band[i - j, j] = A[i, j]
            band[row - column, column::size] = self.blocks[:, row, column]
        band[0] *= 1 + damping
        if times > 1:
            band[size, : (times - 1) * size] = self.next_one[:-1].ravel()
        if times > 2:
            band[2 * size, : (times - 2) * size] = self.next_two[:-2].ravel()
        return solveh_banded(band, right.ravel(), lower=True, check_finite=False).reshape(times, size)


def accelerations(
    times_s: Float[np.ndarray, " T"],
) -> Float[np.ndarray, "T 3"]:
    """Return, in row t, the weights of frames t - 2, t - 1 and t in the acceleration at frame t - 1.

    Rows 0 and 1 are zero. For values x0, x1 and x2 that are dt1 and dt2 seconds apart, the acceleration is
    ``2 ((x2 - x1) / dt2 - (x1 - x0) / dt1) / (dt1 + dt2)``.
    """
    weights = np.zeros((len(times_s), 3))
    if len(times_s) > 2:
        steps = np.maximum(np.diff(times_s), 1e-4)
        first, second = steps[:-1], steps[1:]
        both = 2 / (first + second)
        weights[2:] = np.stack((both / first, -both / first - both / second, both / second), axis=1)
    return weights


def add_accelerations(
    system: TimeSystem,
    weights: Float[np.ndarray, "T 3"],
    strength: Float[np.ndarray, "T D"],
) -> TimeSystem:
    """Return the system with the cost ``(strength[t, d] * a[t, d]) ** 2 / 2`` of all accelerations added.

    ``a[t, d]`` is the acceleration of variable d computed with row t of `weights`, which `accelerations` returns.
    """
    square = strength**2
    blocks, one, two = system.blocks.copy(), system.next_one.copy(), system.next_two.copy()
    diagonal = np.arange(square.shape[1])
    for offset in range(3):  # frame t - 2 + offset enters the acceleration of row t
        added = square[2:] * weights[2:, offset, None] ** 2
        blocks[offset : len(blocks) - 2 + offset, diagonal, diagonal] += added
    one[:-2] += square[2:] * (weights[2:, 0] * weights[2:, 1])[:, None]
    one[1:-1] += square[2:] * (weights[2:, 1] * weights[2:, 2])[:, None]
    two[:-2] += square[2:] * (weights[2:, 0] * weights[2:, 2])[:, None]
    return TimeSystem(blocks, one, two)


def spread_accelerations(
    weights: Float[np.ndarray, "T 3"], values: Float[np.ndarray, "T D"]
) -> Float[np.ndarray, "T D"]:
    """Return the transposed acceleration operator applied to `values`.

    For values ``strength ** 2 * a``, this is the gradient of the cost that `add_accelerations` adds.
    """
    felt = np.zeros_like(values)
    for offset in range(3):
        felt[offset : len(felt) - 2 + offset] += weights[2:, offset, None] * values[2:]
    return felt
