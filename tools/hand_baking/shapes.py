"""The shape basis: principal components of many people's hands, with joints that follow the skin."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Shapes:
    """Mean hand and 10 orthogonal directions, metres per standard deviation, ordered by variance."""

    vertices: np.ndarray  # (V, 3)
    basis: np.ndarray  # (10, V, 3)
    explained: np.ndarray  # (10,) share of the variance


def shape_basis(vertices: np.ndarray, components: int) -> Shapes:
    """Return mean and principal components of (S, V, 3) aligned hands."""
    mean = vertices.mean(0)
    flat = (vertices - mean).reshape(len(vertices), -1)
    _, singular, directions = np.linalg.svd(flat, full_matrices=False)
    std = singular / np.sqrt(len(vertices) - 1)
    directions = directions * np.where(directions.sum(1, keepdims=True) < 0, -1, 1)
    basis = (directions[:components] * std[:components, None]).reshape(components, *mean.shape)
    return Shapes(mean, basis, (std**2 / (std**2).sum())[:components])


def ring_regressor(points: np.ndarray, targets: np.ndarray, *, ring: int) -> tuple[np.ndarray, np.ndarray]:
    """Find few vertices whose convex average follows a joint.

    `points` is (S, V, 3) and `targets` (S, 3) over the same S hands. Returns (ring,) vertices and weights that sum
    to 1; unused places have weight 0. Non-negative least squares over the vertices nearest to the joint.
    """
    near = np.argsort(np.linalg.norm(points - targets[:, None], axis=-1).mean(0))[: 4 * ring]
    system = points[:, near] - targets[:, None]
    rows = np.concatenate((system.transpose(0, 2, 1).reshape(-1, len(near)) * 1e3, np.full((1, len(near)), 1e3)))
    # A small ridge spreads the weight over the ring, so that one noisy vertex does not carry a joint.
    rows = np.concatenate((rows, 3.0 * np.eye(len(near))))
    goal = np.zeros(len(rows))
    goal[3 * len(points)] = 1e3
    weights, _ = nnls(rows, goal)
    best = np.argsort(-weights)[:ring]
    return near[best], weights[best] / weights[best].sum()
