"""Pictures for people to look at: images as bytes, skeletons, and surfaces over a picture."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from hifihr_core.skeleton import BONES

Color = tuple[int, int, int]
Picture = UInt8[np.ndarray, "H W 3"]

#: One colour per finger, thumb to pinky, RGB.
FINGER_COLORS: tuple[Color, ...] = ((230, 60, 60), (230, 160, 40), (60, 180, 75), (50, 140, 230), (170, 80, 220))
#: Fractional bits of OpenCV's drawing coordinates.
_FRACTION = 4


def to_bytes(image: Float[Tensor, "3 H W"]) -> Picture:
    """Convert an RGB image in [0, 1] to an (H, W, 3) picture of bytes on the CPU; values outside are clamped."""
    return (image.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy().copy()


def draw_skeleton(
    picture: Picture,
    joints_px: Float[np.ndarray, "21 2"],
    *,
    color: Color | None = None,
    width: int = 1,
    rim: Color | None = None,
) -> None:
    """Draw the 20 bones of a hand into a picture, in one colour per finger if `color` is None.

    `width` is in pixels; `rim` is the colour of an outline that makes each bone two pixels wider. A NaN is taken as 0,
    and joints far outside the picture are moved nearer, so that their coordinates fit OpenCV's integers.
    """
    side = max(picture.shape[:2])
    # The centre of the first pixel is 0 in OpenCV, and 0.5 here.
    places = np.clip(np.nan_to_num(joints_px), -side, 2 * side) - 0.5
    points = np.rint(places * 2**_FRACTION).astype(int)
    for shade, extra in ((rim, 2), (color, 0)):
        for parent, child in BONES:
            if extra and rim is None:
                continue
            ends = points[parent].tolist(), points[child].tolist()
            chosen = shade if shade is not None else FINGER_COLORS[(child - 1) // 4]
            cv2.line(picture, *ends, chosen, width + extra, cv2.LINE_AA, shift=_FRACTION)


def blend(
    below: UInt8[np.ndarray, "H W 3"], color: Float[np.ndarray, "H W 3"], coverage: Float[np.ndarray, "H W"]
) -> Picture:
    """Blend a surface over a picture, given its colours and its coverage of each pixel, both in [0, 1]."""
    over = coverage[..., None]
    return (below * (1 - over) + color * 255 * over).clip(0, 255).astype(np.uint8)
