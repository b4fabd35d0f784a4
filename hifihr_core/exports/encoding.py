"""Encode pictures as PNG or JPEG."""

import io

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image


def encode_png(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Encode an RGB picture as PNG, fast: an eighth larger than with the best compression, in a sixth of the time."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def encode_jpeg(image: UInt8[np.ndarray, "H W 3"], *, longest_px: int, quality: int = 90) -> bytes:
    """Encode an RGB picture as JPEG, reduced so that its longer side is at most `longest_px`."""
    picture = Image.fromarray(image)
    picture.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()
