"""What is assumed about a camera that nobody measured. Numpy, for one photo."""

from math import hypot, radians, tan

import numpy as np
from jaxtyping import Float

#: Field of view across the diagonal where nothing tells: between a phone's (80) and a portrait lens's (47).
DEFAULT_FOV_DEG = 60.0


def focal_from_fov(fov_deg: float, width: int, height: int) -> float:
    """Return the focal length in pixels that sees `fov_deg` degrees across the diagonal."""
    return hypot(width, height) / 2 / tan(radians(fov_deg) / 2)


def default_focal_px(width: int, height: int) -> float:
    """Return the focal length in pixels of a camera with `DEFAULT_FOV_DEG` across the diagonal.

    What is seen in the photo does not depend on it, only the distance: metric results need a known camera.
    """
    return focal_from_fov(DEFAULT_FOV_DEG, width, height)


def ideal_K(focal_px: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Return the K of a camera with square pixels and its principal point in the middle of the picture."""
    return np.array([[focal_px, 0.0, width / 2], [0.0, focal_px, height / 2], [0.0, 0.0, 1.0]])
