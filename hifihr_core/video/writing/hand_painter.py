"""Draw hands over the frames of a clip, each only within a window, since most of a frame shows no hand."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from hifihr_core.geometry.projection import project_points
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Renderer

#: Window sizes are multiples of this, so that a clip needs few renderers; larger hands are drawn at lower resolution.
_STEP_PX, _LARGEST_PX = 64, 384
_MARGIN_PX = 3


class HandPainter:
    """Draws one hand in successive frames, with fixed faces and appearance; `light` is for frames without their own."""

    def __init__(self, faces: Int[np.ndarray, "F 3"], appearance: Appearance, light: Light) -> None:
        self._faces = torch.from_numpy(np.ascontiguousarray(faces))
        self._appearance, self._light = appearance, light
        self._renderer = lru_cache(maxsize=32)(self._make)

    def paint(
        self,
        canvas: UInt8[np.ndarray, "H W 3"],
        vertices_cam: Float[np.ndarray, "V 3"],
        K: Float[np.ndarray, "3 3"],
        light: Light | None = None,
    ) -> None:
        """Draw the hand over the picture, in place."""
        window = _window(vertices_cam, K, canvas.shape[1], canvas.shape[0])
        if window is None:
            return
        left, top, right, bottom = window
        factor = max(1, int(np.ceil(max(right - left, bottom - top) / _LARGEST_PX)))
        width, height = (_rounded((high - low) / factor) for low, high in ((left, right), (top, bottom)))
        to_window = np.array([[1 / factor, 0, -left / factor], [0, 1 / factor, -top / factor], [0, 0, 1.0]])
        rendered = self._renderer(width, height)(
            torch.from_numpy(vertices_cam).float()[None],
            torch.from_numpy(to_window @ K).float()[None],
            self._appearance,
            light or self._light,
        )
        color = rendered.image[0].permute(1, 2, 0).numpy() * 255
        free = 1 - rendered.silhouette[0].numpy()[..., None]
        if factor > 1:
            color, free = (np.repeat(np.repeat(v, factor, axis=0), factor, axis=1) for v in (color, free))
        under = canvas[top:bottom, left:right]
        over = color[: under.shape[0], : under.shape[1]] + free[: under.shape[0], : under.shape[1]] * under
        canvas[top:bottom, left:right] = np.clip(over, 0, 255).astype(np.uint8)

    def _make(self, width: int, height: int) -> Renderer:
        return Renderer(self._faces, height=height, width=width)


def _window(vertices_cam: np.ndarray, K: np.ndarray, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Return left, top, right, bottom of the window, pixels; None if the hand is off the frame or behind the camera."""
    if (vertices_cam[:, 2] < 1e-2).any():
        return None
    pixels = project_points(vertices_cam, K)
    low = np.floor(pixels.min(axis=0) - _MARGIN_PX).clip(0, (width, height)).astype(int)
    high = np.ceil(pixels.max(axis=0) + _MARGIN_PX).clip(0, (width, height)).astype(int)
    return None if (high - low).min() < 1 else (int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def _rounded(length: float) -> int:
    return max(_STEP_PX, int(np.ceil(length / _STEP_PX)) * _STEP_PX)
