"""Skin weights by heat diffusion from the bones (Baran and Popovic, 2007), split over half-way bones."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from hifihr_core.hands.anny.rig import HALVED, JOINTS, PARENTS

#: How fast heat flows from the nearest bone into the skin; larger values give sharper changes between bones.
_HEAT = 1.6


def skin_weights(vertices: np.ndarray, faces: np.ndarray, joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Return (V, 18) weights of the bones; rows sum to 1."""
    segments = _segments(joints, tips)
    distance = np.stack([_to_segments(vertices, ends) for ends in segments], axis=1)
    nearest = distance.argmin(1)
    heat = _HEAT / np.maximum(distance.min(1), 1e-3) ** 2
    mass, stiffness = _laplacian(vertices, faces)
    system = sp.diags(mass * heat) + stiffness
    source = np.zeros(distance.shape)
    source[np.arange(len(vertices)), nearest] = mass * heat
    weights = np.clip(splu(system.tocsc()).solve(source), 0.0, None)
    weights[weights < 4e-3] = 0.0
    return weights / weights.sum(1, keepdims=True)


def with_halves(weights: np.ndarray) -> np.ndarray:
    """Return (V, 33) weights: skin shared by a bone and its parent is assigned to the half-way bone between them.

    The weight of the half-way bone is a triangle function of t for weights (1 - t, t): 1 at t = 1/2, 0 at the ends.
    """
    out = np.concatenate((weights, np.zeros((len(weights), len(HALVED)))), axis=1)
    for k, j in enumerate(HALVED):
        shared = np.minimum(out[:, j], out[:, PARENTS[j]])
        out[:, j] -= shared
        out[:, PARENTS[j]] -= shared
        out[:, len(JOINTS) + k] = 2 * shared
    return out


def _segments(joints: np.ndarray, tips: np.ndarray) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Return the line segments of every bone; the palm has one per finger."""
    ends: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in JOINTS]
    for j, parent in enumerate(PARENTS):
        if parent >= 0:
            ends[parent].append((joints[parent], joints[j]))
    for k, name in enumerate(("thumb_ip", "index_dip", "middle_dip", "ring_dip", "pinky_dip")):
        ends[JOINTS.index(name)].append((joints[JOINTS.index(name)], tips[k]))
    return ends


def _to_segments(points: np.ndarray, segments: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    out = np.full(len(points), np.inf)
    for a, b in segments:
        t = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
        out = np.minimum(out, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return out


def _laplacian(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, sp.csr_matrix]:
    """Return lumped vertex areas and the cotangent stiffness matrix (positive semi-definite)."""
    count = len(vertices)
    corners = vertices[faces]
    rows, columns, values = [], [], []
    for k in range(3):
        i, j = faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        u, v = corners[:, (k + 1) % 3] - corners[:, k], corners[:, (k + 2) % 3] - corners[:, k]
        cotangent = np.einsum("fx,fx->f", u, v) / np.maximum(np.linalg.norm(np.cross(u, v), axis=1), 1e-12)
        half = 0.5 * np.clip(cotangent, 1e-3, 20.0)
        rows += [i, j, i, j]
        columns += [j, i, i, j]
        values += [-half, -half, half, half]
    stiffness = sp.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    )
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 6
    mass = np.bincount(faces.ravel(), weights=np.repeat(areas, 3), minlength=count)
    return mass, stiffness
