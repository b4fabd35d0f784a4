"""Compiled loops over the pixels of one float picture; they release the interpreter lock."""

import math

import numpy as np
from jaxtyping import Float

from hifihr_core.machine.kernels import kernel


@kernel
def recolor(picture: Float[np.ndarray, "3 H W"], matrix: Float[np.ndarray, "3 4"]) -> None:
    """Multiply (r, g, b, 1) of every pixel by a matrix, and clip to [0, 1], in place."""
    zero, one = np.float32(0), np.float32(1)
    m, (_, height, width) = matrix.copy(), picture.shape
    for y in range(height):
        for x in range(width):
            r, g, b = picture[0, y, x], picture[1, y, x], picture[2, y, x]
            picture[0, y, x] = min(max(m[0, 0] * r + m[0, 1] * g + m[0, 2] * b + m[0, 3], zero), one)
            picture[1, y, x] = min(max(m[1, 0] * r + m[1, 1] * g + m[1, 2] * b + m[1, 3], zero), one)
            picture[2, y, x] = min(max(m[2, 0] * r + m[2, 1] * g + m[2, 2] * b + m[2, 3], zero), one)


@kernel
def add_noise(picture: Float[np.ndarray, "3 H W"], noise: Float[np.ndarray, "3 H W"], sigma: float) -> None:
    """Add `sigma` times `noise`, and clip to [0, 1], in place."""
    zero, one = np.float32(0), np.float32(1)
    for c in range(picture.shape[0]):
        for y in range(picture.shape[1]):
            for x in range(picture.shape[2]):
                picture[c, y, x] = min(max(picture[c, y, x] + sigma * noise[c, y, x], zero), one)


@kernel
def expose_film(
    picture: Float[np.ndarray, "3 H W"], field: Float[np.ndarray, "H W"], out: Float[np.ndarray, "3 H W"]
) -> None:
    """Write the picture, multiplied by a brightness per pixel and with softly compressed highlights, to `out`.

    Values up to 0.7 are not compressed; higher ones approach 1, and negative ones become 0.
    """
    knee, rest, zero, one = np.float32(0.7), np.float32(0.3), np.float32(0), np.float32(1)
    for c in range(picture.shape[0]):
        for y in range(picture.shape[1]):
            for x in range(picture.shape[2]):
                value = picture[c, y, x] * field[y, x]
                if value > knee:
                    value = knee + rest * (one - np.float32(math.exp((knee - value) / rest)))
                out[c, y, x] = min(max(value, zero), one)
