"""Draw a picture behind its hands, on a plane that fills its camera's view: hands then appear where they were seen."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

#: Longer side of the pictures sent to the browser for a clip, pixels.
_LONGEST_PX = 960


def show_picture(
    scene: Any,
    name: str,
    image: UInt8[np.ndarray, "H W 3"],
    K: Float[np.ndarray, "3 3"],
    *,
    depth_m: float,
    longest_px: int = _LONGEST_PX,
) -> Any:
    """Draw a picture `depth_m` in front of its camera K at the origin; return its handle.

    It replaces a picture with the same name.
    """
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    picture.thumbnail((longest_px, longest_px))
    middle = depth_m * (np.linalg.inv(K) @ [width / 2, height / 2, 1.0])
    return scene.add_image(
        name,
        np.asarray(picture),
        render_width=depth_m * width / K[0, 0],
        render_height=depth_m * height / K[1, 1],
        format="jpeg",
        position=middle,
        cast_shadow=False,
        receive_shadow=False,
    )


def aim(client: Any, K: Float[np.ndarray, "3 3"], height_px: int, depth_m: float) -> None:
    """Move a browser's viewpoint to the camera K of a picture, looking at a point `depth_m` in front of it."""
    client.camera.up_direction = (0.0, -1.0, 0.0)
    client.camera.position = (0.0, 0.0, 0.0)
    client.camera.look_at = (0.0, 0.0, depth_m)
    client.camera.fov = 2 * float(np.arctan(height_px / (2 * K[1, 1])))
