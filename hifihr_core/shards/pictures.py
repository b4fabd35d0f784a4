"""Encoded pictures in shards: reading their sizes from headers, decoding them, and encoding JPEGs and masks."""

import struct
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from hifihr_core.errors import DataError

JPEG_QUALITY = 95
#: A picture with more pixels is rejected before decoding, whatever its format.
MOST_PIXELS = 64_000_000

_JPEG_START, _PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"


def picture_size(content: bytes) -> tuple[int, int]:
    """Return (width, height) from a picture's header, for any format; nothing is decoded.

    Raises: DataError if the bytes are not a picture, or it has more than `MOST_PIXELS`; the caller adds the file name.
    """
    try:
        if content.startswith(_PNG_START):
            size: tuple[int, int] = struct.unpack(">II", content[16:24])
        else:
            size = _jpeg_size(content) if content.startswith(_JPEG_START) else _other_size(content)
    except (ValueError, OSError, SyntaxError, struct.error, ArithmeticError, LookupError, TypeError, Warning) as error:
        raise DataError("the picture cannot be decoded: its header is damaged or its format unknown") from error
    if not 0 < size[0] * size[1] <= MOST_PIXELS:
        raise DataError(f"the picture has {size[0]:,} x {size[1]:,} pixels, expected 1 to {MOST_PIXELS:,} in all")
    return size


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Return (width, height) of a JPEG from its first and last bytes; nothing is decoded.

    Raises: DataError if it is not a JPEG, truncated or larger than `MOST_PIXELS`; the caller adds the file name.
    """
    if not content.startswith(_JPEG_START):
        raise DataError("not a JPEG")
    if b"\xff\xd9" not in content[-32:]:
        raise DataError("the JPEG is truncated")
    return picture_size(content)


def _jpeg_size(content: bytes) -> tuple[int, int]:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    except (ValueError, KeyError):  # a rare subsampling or colour space
        return _other_size(content)
    return width, height


def _other_size(content: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(content)) as picture:
        return picture.size


def decode(content: bytes, *, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode a picture to (H, W, 3) BGR pixels, or to the form that `flags` of ``cv2.imdecode`` select.

    An EXIF orientation is ignored. Raises: DataError if the picture cannot be decoded.
    """
    picture_size(content)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError("the picture cannot be decoded")
    return pixels


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """Encode (H, W, 3) BGR pixels as a JPEG of quality 95 without chroma subsampling."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode an (H, W) Boolean mask as a PNG with one bit per pixel; `decode` returns 0 and 255 for it."""
    options = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 3]
    return cv2.imencode(".png", mask.astype(np.uint8) * 255, options)[1].tobytes()
