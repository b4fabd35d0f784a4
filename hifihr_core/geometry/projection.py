"""Pinhole projection of NumPy arrays; `cameras.project` is the same for tensors, with gradients."""

import numpy as np
from jaxtyping import Float


def project_points(points_cam: Float[np.ndarray, "*B N 3"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "*B N 2"]:
    """Return the pixels of points in front of a camera; a point at depth 0 gives infinity or NaN."""
    rays = points_cam @ K.T
    return rays[..., :2] / rays[..., 2:]
