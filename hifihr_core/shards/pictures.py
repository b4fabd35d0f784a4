"""Encoded pictures as shards hold them: JPEG heads, decoding, JPEG and mask encoding."""

import struct

import cv2
import numpy as np

from hifihr_core.errors import DataError

#: JPEG markers of the frames that carry a size; the others in their range are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_QUALITY = 95


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Return (width, height) from the head of a JPEG, after a look at its last bytes; nothing is decoded.

    Raises: DataError "not a JPEG" or "cut short", without a name: the caller knows it.
    """
    if content[:2] != b"\xff\xd8":
        raise DataError("not a JPEG")
    if b"\xff\xd9" not in content[-32:]:
        raise DataError("the JPEG is cut short")
    place = 2
    while place + 9 < len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return width, height
        place += 1 if marker == 0xFF else 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
    raise DataError("the JPEG has no frame")


def decode(content: bytes, *, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Return the pixels of a picture, BGR or as `flags` says. Raises: DataError if it cannot be decoded."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION) if content else None
    if pixels is None:
        raise DataError("the picture cannot be decoded")
    return pixels


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """Return pixels (BGR) as a JPEG of quality 95 without chroma subsampling."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


def encode_mask(mask: np.ndarray) -> bytes:
    """Return a boolean mask as a PNG with one bit per pixel; it decodes to 0 and 255."""
    options = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 3]
    return cv2.imencode(".png", mask.astype(np.uint8) * 255, options)[1].tobytes()
