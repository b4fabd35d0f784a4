"""Read photos, from files or arrays, in the form that hifihr processes: upright, RGB, 8 bit, sRGB, of bounded size."""

import struct
import warnings
from dataclasses import dataclass
from math import ceil, log2
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error
from hifihr_core.geometry.crops import warp_image
from hifihr_core.photos.exif import exif_focal_px
from hifihr_core.photos.icc import to_srgb

#: A photo with more pixels is reduced by an integer factor until it fits, which limits the memory of a prediction.
MAX_PIXELS = 25_000_000
MIN_SIDE_PX = 16

#: Pillow's readers for photos. Others run programs (EPS), or read files that are not photos (PDF, MPEG, HDF5).
FORMATS = (
    *("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM"),
    *("TGA", "SGI", "PCX", "PSD", "QOI", "ICO", "ICNS"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
HEIF_LINE = "pip install 'hifihr[heic]'"
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Photo:
    """An upright photo.

    `image` is RGB, sRGB, upright according to EXIF, and smaller than the file if that is very large; `size_px` is the
    upright (width, height) of the file. All results, boxes and cameras are in pixels of the full-size photo. `focal_px`
    is EXIF's focal length, or None. `notes` list the assumptions made to read the file.
    """

    path: Path | None
    image: UInt8[np.ndarray, "H W 3"]
    size_px: tuple[int, int]
    focal_px: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def T_image_photo(self) -> Float[np.ndarray, "3 3"]:
        """The transform from pixels of the full-size photo to pixels of `image`."""
        height, width = self.image.shape[:2]
        return np.diag([width / self.size_px[0], height / self.size_px[1], 1.0])

    def warp(self, T_new_photo: Float[np.ndarray, "3 3"], *, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return the photo warped by a transform from full-size pixels to those of the new picture; black outside."""
        T_new_image = T_new_photo @ np.linalg.inv(self.T_image_photo)
        return warp_image(self.image, T_new_image, width=width, height=height)


def as_photo(image: object) -> Photo:
    """Return a photo from a `Photo`, the path of a file, or an upright RGB array.

    Raises: ValueError for an unsuitable array; DataError for a file that cannot be read.
    """
    if isinstance(image, Photo):
        return image
    if isinstance(image, str | Path):
        return read_photo(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"the photo has type {type(image).__name__}, expected a path or a uint8 array (H, W, 3)")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"the photo is {image.dtype} {image.shape}, expected uint8 (H, W, 3), RGB from 0 to 255; "
            "scale and convert it first"
        )
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise ValueError(f"the photo has {width} x {height} pixels, expected at least {MIN_SIDE_PX} on each side")
    return Photo(None, np.ascontiguousarray(image), (width, height))


def read_photo(path: str | Path) -> Photo:
    """Read a photo of any format and mode (grey, palette, RGBA, CMYK, 16 bit), upright, with bounded memory.

    Transparent pixels are blended with white; colours are converted to sRGB.
    Raises: DataError for a file that is missing, not an image, truncated, smaller than 16 pixels, or too large.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # large photos are fine, since they are reduced below, and so are odd EXIF and palettes
            with _open(path) as file:
                return _decode(path, file)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: more than 178 megapixels, expected fewer; shrink the photo first") from error
    except MemoryError as error:
        raise DataError(
            f"{path}: not enough memory to read the photo; close other programs, or shrink it first"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: not a photo in a known format, expected JPEG, PNG, WebP, TIFF or the like; convert it"
        ) from error
    except _DAMAGED as error:
        raise DataError(f"{path}: {_cause(error, path)}") from error


#: Exceptions of Pillow for truncated or inconsistent files.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError, OverflowError, struct.error)


def _cause(error: Exception, path: Path) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return describe_os_error(error, path).removeprefix(f"{error.filename or path}: ")
    reason = " ".join(str(error).split())  # libheif ends its messages with a newline
    return f"cannot be decoded ({reason}); the file is truncated or damaged, so copy or export it again"


def _open(path: Path) -> Image.Image:
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is a folder, pipe or device, expected a file; check the path")
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        raise DataError(f"{path}: the file is empty, expected a photo; copy or export it again")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif(path)
    Image.preinit()
    try:
        return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        Image.init()  # the rarer readers are loaded when they are needed
        return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])


def _register_heif(path: Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise DataError(f"{path}: HEIC photos need the package pillow-heif; run {HEIF_LINE}") from error
    register_heif_opener()


def _decode(path: Path, file: Image.Image) -> Photo:
    width, height = file.size
    if min(file.size) < MIN_SIDE_PX:
        raise DataError(f"{path}: {width} x {height} pixels, expected at least {MIN_SIDE_PX} on each side")
    exif = file.getexif()
    orientation, focal_px = exif.get(_ORIENTATION, 1), exif_focal_px(exif, width, height)
    divisor = _divisor(file.size)
    file.draft(
        "RGB", (width // divisor, height // divisor)
    )  # JPEGs can be shrunk during decoding, without extra memory
    image, notes = _to_rgb(file)
    divisor = _divisor(image.size)
    image = _upright(image.reduce(divisor) if divisor > 1 else image, orientation)
    turned = (image.width > image.height) != (width > height)
    size_px = (height, width) if turned else (width, height)
    return Photo(path, np.asarray(image), size_px, focal_px, notes)


def _upright(image: Image.Image, orientation: object) -> Image.Image:
    image.info.clear()  # damage elsewhere in EXIF must not matter
    image.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(image)


def _divisor(size: tuple[int, int]) -> int:
    divisor = 1
    while size[0] * size[1] > MAX_PIXELS * divisor**2:
        divisor *= 2
    return divisor


def _to_rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the picture as 8-bit sRGB, and the assumptions made."""
    profile = image.info.get("icc_profile")
    notes: tuple[str, ...] = ()
    if image.mode.startswith("I") or image.mode == "F":
        image, notes = _grey_to_8_bit(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba).convert("RGB")
    if profile and image.mode in ("RGB", "L", "CMYK", "P"):
        image = to_srgb(image.convert("RGB") if image.mode == "P" else image, profile)
    return image.convert("RGB"), notes


def _grey_to_8_bit(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert grey values of more than 8 bits to 8 bits.

    White is 1.0 for fractions, else the maximum of the fewest bits (8, 10, 12, ...) that hold all values.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max())
    bits = max(8, 2 * ceil(log2(top + 1) / 2)) if top > 0 else 8
    white = 1.0 if image.mode == "F" and top <= 1 else 2.0**bits - 1
    grey = Image.fromarray(np.rint(np.clip(values * (255.0 / white), 0, 255)).astype(np.uint8))
    is_usual = white == 255 or (white == 65535 and image.mode != "F")
    return grey, () if is_usual else (f"a grey picture with values up to {top:g}: {white:g} is taken as white",)
