"""Assumptions about uncalibrated cameras, in numpy, for one photo."""

from math import hypot, radians, tan

import numpy as np
from jaxtyping import Float

#: Default diagonal field of view, degrees: between a phone's (80) and a portrait lens's (47).
DEFAULT_FOV_DEG = 60.0


def focal_from_fov(fov_deg: float, width: int, height: int) -> float:
    """Return the focal length in pixels for a diagonal field of view of `fov_deg` degrees."""
    return hypot(width, height) / 2 / tan(radians(fov_deg) / 2)


def default_focal_px(width: int, height: int) -> float:
    """Return the focal length in pixels for a diagonal field of view of `DEFAULT_FOV_DEG`.

    An error in this assumption changes a hand's estimated distance, but not its projection into the photo. Metric
    results need a known camera.
    """
    return focal_from_fov(DEFAULT_FOV_DEG, width, height)


def ideal_K(focal_px: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Return K for a camera with square pixels and its principal point in the centre of the picture."""
    return np.array([[focal_px, 0.0, width / 2], [0.0, focal_px, height / 2], [0.0, 0.0, 1.0]])
