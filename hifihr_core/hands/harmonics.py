"""Smooth functions on a triangle mesh: the eigenfunctions of its Laplace-Beltrami operator.

They give a mesh without a UV chart an albedo that varies smoothly over the skin.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
from jaxtyping import Float, Int


class Harmonics(NamedTuple):
    """Eigenfunctions, orthonormal with respect to vertex areas, and their eigenvalues (1 / m^2), smallest first."""

    functions: Float[np.ndarray, "V K"]
    eigenvalues: Float[np.ndarray, " K"]


def cotangent_laplacian(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> tuple[scipy.sparse.csr_matrix, Float[np.ndarray, " V"]]:
    """Return the stiffness matrix (V x V, positive semi-definite) and the area that belongs to each vertex.

    Open borders have natural (Neumann) conditions. Every vertex must belong to a face of positive area.
    Source: Pinkall and Polthier, "Computing discrete minimal surfaces and their conjugates", 1993.
    """
    size = len(vertices)
    corners = vertices[faces]
    rows, columns, values = [], [], []
    doubled_area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    for corner in range(3):
        one, two = (corner + 1) % 3, (corner + 2) % 3
        to_one, to_two = corners[:, one] - corners[:, corner], corners[:, two] - corners[:, corner]
        half_cot = 0.5 * (to_one * to_two).sum(1) / doubled_area
        rows += [faces[:, one], faces[:, two]]
        columns += [faces[:, two], faces[:, one]]
        values += [half_cot, half_cot]
    weights = scipy.sparse.coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)
    ).tocsr()
    areas = np.bincount(faces.ravel(), np.repeat(doubled_area / 6, 3), minlength=size)
    return scipy.sparse.diags(np.asarray(weights.sum(1)).ravel()).tocsr() - weights, areas


def mesh_harmonics(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], count: int) -> Harmonics:
    """Return the `count` smoothest eigenfunctions; the first is constant.

    The sign is fixed: the entry of largest magnitude is positive. The matrices are dense, so a mesh should have at most
    a few thousand vertices.
    """
    stiffness, areas = cotangent_laplacian(vertices, faces)
    root = np.sqrt(areas)
    scaled = stiffness.toarray() / root[:, None] / root[None]
    eigenvalues, vectors = scipy.linalg.eigh(scaled, subset_by_index=[0, count - 1])
    functions = vectors / root[:, None]
    peaks = functions[np.abs(functions).argmax(0), np.arange(count)]
    return Harmonics(functions * np.sign(peaks), np.maximum(eigenvalues, 0))
