"""Nearest-neighbour distances between two point sets, in both directions, for many pairs of small sets.

Two sets of 778 points are too small for a tree to pay off: the compiled loop over all pairs is several times faster
than building and querying two trees (docs/benchmarks/evaluation.md). `nearest_distances_reference` is its
specification.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float

from hifihr_core.machine.kernels import kernel

#: Number of samples per task of the thread pool.
_TASK = 64


def nearest_distances(
    a: Float[np.ndarray, "B N 3"], b: Float[np.ndarray, "B M 3"], *, threads: int | None = None
) -> tuple[Float[np.ndarray, "B N"], Float[np.ndarray, "B M"]]:
    """Return the distance from each point of `a` to the nearest of `b`, and from each of `b` to the nearest of `a`.

    Computed in float64 for any input type; points must be finite. `threads` defaults to torch's number of threads, and
    does not affect the result.
    """
    a_planes, b_planes = (np.ascontiguousarray(np.swapaxes(points, 1, 2), dtype=np.float64) for points in (a, b))
    to_b = np.empty((a.shape[0], a.shape[1]))
    to_a = np.empty((b.shape[0], b.shape[1]))
    starts = range(0, len(a), _TASK)

    def work(start: int) -> None:
        rows = slice(start, start + _TASK)
        _nearest_kernel(a_planes[rows], b_planes[rows], to_b[rows])
        _nearest_kernel(b_planes[rows], a_planes[rows], to_a[rows])

    with ThreadPoolExecutor(threads or torch.get_num_threads()) as pool:
        for _ in pool.map(work, starts):
            pass
    return to_b, to_a


def nearest_distances_reference(
    a: Float[np.ndarray, "B N 3"], b: Float[np.ndarray, "B M 3"]
) -> tuple[Float[np.ndarray, "B N"], Float[np.ndarray, "B M"]]:
    """Return the same as `nearest_distances`, computed from the full matrix of distances."""
    distances = np.linalg.norm(a[:, :, None] - b[:, None], axis=-1)
    return distances.min(axis=2), distances.min(axis=1)


# The inner loop runs over the points with a minimum each, so that it is vectorised; a running minimum over the other
# set is four times slower. No fast-math: the order of the sum determines the last digit.
@kernel
def _nearest_kernel(points: np.ndarray, others: np.ndarray, nearest: np.ndarray) -> None:
    """Fill `nearest` (B, N) with the distance from each of `points` (B, 3, N) to the nearest of `others` (B, 3, M)."""
    for sample in range(points.shape[0]):
        x, y, z = points[sample, 0], points[sample, 1], points[sample, 2]
        best = nearest[sample]
        best[:] = np.inf
        for j in range(others.shape[2]):
            other_x, other_y, other_z = others[sample, 0, j], others[sample, 1, j], others[sample, 2, j]
            for i in range(points.shape[2]):
                dx, dy, dz = x[i] - other_x, y[i] - other_y, z[i] - other_z
                best[i] = min(best[i], dx * dx + dy * dy + dz * dz)
        for i in range(points.shape[2]):
            best[i] = np.sqrt(best[i])
