"""The shape basis: principal components of many people's hands, with joints that follow the skin."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from hifihr_core.hands.anny.rig import JOINTS, PARENTS
from hifihr_core.skeleton import FINGERS


@dataclass(frozen=True)
class Shapes:
    """Mean hand and 10 orthogonal directions, metres per standard deviation, ordered by variance."""

    vertices: np.ndarray  # (V, 3)
    basis: np.ndarray  # (10, V, 3)
    explained: np.ndarray  # (10,) fraction of the variance


def shape_basis(vertices: np.ndarray, components: int) -> Shapes:
    """Return mean and principal components of (S, V, 3) aligned hands."""
    mean = vertices.mean(0)
    flat = (vertices - mean).reshape(len(vertices), -1)
    _, singular, directions = np.linalg.svd(flat, full_matrices=False)
    std = singular / np.sqrt(len(vertices) - 1)
    directions = directions * np.where(directions.sum(1, keepdims=True) < 0, -1, 1)
    basis = (directions[:components] * std[:components, None]).reshape(components, *mean.shape)
    return Shapes(mean, basis, (std**2 / (std**2).sum())[:components])


def vary(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray, tips: np.ndarray, seed: int) -> np.ndarray:
    """Give every person's hand individual proportions: length and girth of each finger, breadth and depth of the palm.

    The source's targets move all fingers alike. The standard deviations are those of measured adults (about 3 % per
    finger relative to the hand's length, 5 % in breadth and girth). `weights` are those of the 18 bones; all hands
    share `joints`.
    """
    rng = np.random.default_rng(seed)
    count = len(vertices)
    girth = 1 + rng.normal(0, 0.045, (count, 1)) + rng.normal(0, 0.018, (count, 5))
    length = 1 + rng.normal(0, 0.022, (count, 1)) + rng.normal(0, 0.026, (count, 5))
    palm = np.stack((1 + rng.normal(0, 0.045, count), np.ones(count), 1 + rng.normal(0, 0.055, count)), axis=1)
    scale = np.tile(np.eye(3), (count, len(JOINTS), 1, 1)) * palm[:, None, None]
    shift = np.zeros((count, len(JOINTS), 3))
    for j, name in enumerate(JOINTS[1:], start=1):
        parent = PARENTS[j]
        finger = FINGERS.index(name.partition("_")[0])
        at = np.einsum("sxy,y->sx", scale[:, parent], joints[j]) + shift[:, parent]
        if not (name.endswith("cmc") and finger):
            end = joints[PARENTS.index(j)] if j in PARENTS else tips[finger]
            along = (end - joints[j]) / np.linalg.norm(end - joints[j])
            on, off = np.outer(along, along), np.eye(3) - np.outer(along, along)
            scale[:, j] = length[:, finger, None, None] * on + girth[:, finger, None, None] * off
        shift[:, j] = at - np.einsum("sxy,y->sx", scale[:, j], joints[j])
    out = np.empty_like(vertices)
    for s in range(count):
        blended = np.tensordot(weights, scale[s], axes=1)
        out[s] = np.einsum("vxy,vy->vx", blended, vertices[s]) + weights @ shift[s]
    return out


def ring_regressor(points: np.ndarray, targets: np.ndarray, *, ring: int) -> tuple[np.ndarray, np.ndarray]:
    """Find a few vertices whose convex average follows a joint.

    `points` is (S, V, 3) and `targets` (S, 3) over the same S hands. Returns (ring,) vertices and weights that sum to
    1; unused entries have weight 0. Solved as non-negative least squares over the vertices nearest to the joint.
    """
    near = np.argsort(np.linalg.norm(points - targets[:, None], axis=-1).mean(0))[: 4 * ring]
    system = points[:, near] - targets[:, None]
    rows = np.concatenate((system.transpose(0, 2, 1).reshape(-1, len(near)) * 1e3, np.full((1, len(near)), 1e3)))
    # A small ridge spreads the weight over the ring, so that no joint depends on a single noisy vertex.
    rows = np.concatenate((rows, 3.0 * np.eye(len(near))))
    goal = np.zeros(len(rows))
    goal[3 * len(points)] = 1e3
    weights, _ = nnls(rows, goal)
    best = np.argsort(-weights)[:ring]
    return near[best], weights[best] / weights[best].sum()
