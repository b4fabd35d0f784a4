"""Rotations of scenes and armatures as arrays, for files: matrices and unit quaternions (x, y, z, w).

`geometry.turns` does the work; SciPy would take longer to load than a hand takes to write.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from hifihr_core.geometry import turns

#: Below this cosine, two unit vectors count as opposite, and any axis orthogonal to them is valid.
_OPPOSITE = -1 + 1e-12


def turn_about(axis: Literal["x", "y", "z"], angle_rad: float) -> Float[np.ndarray, "3 3"]:
    """Return the matrix of a rotation about an axis of the frame, radians."""
    vector = torch.zeros(3, dtype=torch.float64)
    vector["xyz".index(axis)] = float(angle_rad)
    return turns.rotvec_to_rotmat(vector).numpy()


def unit_quaternions(matrices: Float[np.ndarray, "*N 3 3"]) -> Float[np.ndarray, "*N 4"]:
    """Return the quaternion (x, y, z, w) of each rotation matrix; its largest component is positive."""
    return turns.rotmat_to_unitquat(torch.from_numpy(np.ascontiguousarray(matrices))).numpy()


def shortest_turn(start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4"]:
    """Return the quaternion (x, y, z, w) of the smallest rotation from one unit vector to another."""
    cosine = float(start @ end)
    if cosine < _OPPOSITE:
        across = np.cross(start, np.eye(3)[np.abs(start).argmin()])
        return np.append(across / np.linalg.norm(across), 0.0)
    quaternion = np.append(np.cross(start, end), 1 + cosine)
    return quaternion / np.linalg.norm(quaternion)
