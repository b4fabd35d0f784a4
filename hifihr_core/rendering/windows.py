"""Windows: parts of a picture, to render only what an object covers."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.projection import project_points

#: Points nearer than this cannot be projected, metres; then the window is the whole picture.
_NEAR_M = 1e-2


@dataclass(frozen=True)
class Window:
    """Columns `left` to `right` and rows `top` to `bottom` of a picture (`right` and `bottom` excluded).

    It is rendered at `width_px` by `height_px`, which may be larger than the window: sizes are rounded up, so that a
    few renderers serve many windows.
    """

    left: int
    top: int
    right: int
    bottom: int
    width_px: int
    height_px: int

    def K(self, K: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B 3 3"]:
        """Return the intrinsics of the window, given those of the picture."""
        shift = torch.eye(3).to(K)
        shift[0, 2], shift[1, 2] = -self.left, -self.top
        return shift @ K

    def cut(self, picture: Float[Tensor, "*C H W"]) -> Float[Tensor, "*C h w"]:
        """Return the part of a picture in the window, without copying it."""
        return picture[..., self.top : self.bottom, self.left : self.right]

    def trim(self, drawn: Float[Tensor, "*C H W"]) -> Float[Tensor, "*C h w"]:
        """Crop a picture rendered at `width_px` by `height_px` to the size of the window."""
        return drawn[..., : self.bottom - self.top, : self.right - self.left]


def window_about(
    points_cam: Float[np.ndarray, "N 3"],
    K: Float[np.ndarray, "3 3"],
    *,
    width: int,
    height: int,
    step_px: int = 64,
    margin_px: int = 3,
) -> Window | None:
    """Return the window around projected points, with a margin, or None if it is outside the picture.

    Points are in the camera frame, metres; if any is too near to be projected, the window is the whole picture. Its
    rendered size is rounded up to multiples of `step_px`.
    """
    if (points_cam[:, 2] < _NEAR_M).any():
        low, high = np.zeros(2, dtype=int), np.array([width, height])
    else:
        pixels, most = project_points(points_cam, K), (width, height)
        low = np.floor(pixels.min(axis=0) - margin_px).clip(0, most).astype(int)
        high = np.ceil(pixels.max(axis=0) + margin_px).clip(0, most).astype(int)
    if (high - low).min() < 1:
        return None
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    drawn = [-(-length // step_px) * step_px for length in (right - left, bottom - top)]
    return Window(left, top, right, bottom, *drawn)
