"""Photos on disk: which files are meant, how they are read, and what their EXIF says of the camera."""

import glob
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import atan, degrees, hypot
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from hifihr_core.errors import DataError
from hifihr_core.files import PHOTO_SUFFIXES

#: A photo with more pixels is halved until it fits, which bounds the memory of a prediction.
MAX_PIXELS = 25_000_000
MIN_SIDE_PX = 16
_PLAUSIBLE_FOV_DEG = (6.0, 140.0)

_FULL_FRAME_DIAGONAL_MM = hypot(36.0, 24.0)
_EXIF_IFD = 0x8769
_ORIENTATION = 0x0112
_FOCAL_LENGTH_MM = 0x920A
_FOCAL_LENGTH_35MM = 0xA405
_FOCAL_PLANE_X_RESOLUTION = 0xA20E
_FOCAL_PLANE_UNIT = 0xA210
_PIXEL_X_DIMENSION = 0xA002
_MM_PER_FOCAL_PLANE_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


@dataclass(frozen=True)
class Photo:
    """An upright photo.

    `image` is RGB uint8 (H, W, 3), turned as its EXIF orientation says. `reduction` is how many pixels of the file
    (upright) one pixel of `image` stands for along each axis: 1 unless the photo was too large. `focal_px` is the focal
    length in pixels of `image`, or None where EXIF does not tell.
    """

    path: Path | None
    image: np.ndarray
    reduction: float = 1.0
    focal_px: float | None = None


def find_photos(patterns: Sequence[str | Path]) -> list[Path]:
    """Return the photos meant by files, folders (not their sub-folders) and globs: sorted per item, each once.

    Raises DataError for an item that matches nothing, and for a folder without photos.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(_matches(Path(pattern))))
    return list(found)


def _matches(pattern: Path) -> Iterable[Path]:
    try:
        if pattern.is_dir():
            photos = sorted(path for path in pattern.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
            if not photos:
                raise DataError(f"{pattern}: a folder without photos; expected files ending in {_suffix_list()}")
            return photos
        if pattern.exists():
            return [pattern]
    except OSError as error:
        raise DataError(f"{pattern}: cannot be read ({error.strerror}); check its permissions") from error
    photos = sorted(Path(path) for path in glob.glob(str(pattern)) if Path(path).suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise DataError(f"{pattern}: no such photo, folder or glob with matches; check the path")
    return photos


def read_photo(path: Path) -> Photo:
    """Read a photo of any mode (grey, palette, RGBA, CMYK, 16 bit), upright, with bounded memory.

    Transparent pixels are laid over white. Raises DataError where the file is missing, no image, cut short, smaller
    than 16 pixels, or implausibly large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is fine here: it is reduced below
            with Image.open(path) as file:
                return _decode(path, file)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}; expected a photo below 178 megapixels, shrink it first") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not an image in a known format; expected {_suffix_list()}") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); the file is cut short or damaged") from error


def _decode(path: Path, file: Image.Image) -> Photo:
    width, height = file.size
    if min(file.size) < MIN_SIDE_PX:
        raise DataError(f"{path}: {width} x {height} pixels, expected at least {MIN_SIDE_PX} on each side")
    exif = file.getexif()
    divisor = _divisor(file.size)
    file.draft("RGB", (width // divisor, height // divisor))  # JPEG can shrink while it decodes, at no memory
    divisor = _divisor(file.size)
    image = _to_rgb(file.reduce(divisor) if divisor > 1 else file)
    reduction = max(width, height) / max(image.size)
    focal_px = _exif_focal_px(exif, width, height)
    upright = _upright(image, exif.get(_ORIENTATION, 1))
    return Photo(path, np.asarray(upright), reduction, focal_px / reduction if focal_px else None)


#: EXIF orientation to the turn that makes the photo upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _divisor(size: tuple[int, int]) -> int:
    divisor = 1
    while size[0] * size[1] > MAX_PIXELS * divisor**2:
        divisor *= 2
    return divisor


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16 or 32 bit grey: bring its own range to 8 bit
        values = np.asarray(image, dtype=np.float32)
        top = 65535.0 if values.max() > 255 else 255.0
        return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _exif_focal_px(exif: Image.Exif, width: int, height: int) -> float | None:
    """Return the focal length in pixels of the full image, or None where EXIF does not tell it or cannot be right.

    Editors shrink photos and keep the sensor's resolution beside them, which makes a lens of a few degrees; a field of
    view outside `_PLAUSIBLE_FOV_DEG` is therefore not believed.
    """
    tags = exif.get_ifd(_EXIF_IFD)
    focal_px = _focal_from_equivalent(tags, width, height) or _focal_from_sensor(tags, width)
    if focal_px is None:
        return None
    fov_deg = degrees(2 * atan(hypot(width, height) / 2 / focal_px))
    return focal_px if _PLAUSIBLE_FOV_DEG[0] <= fov_deg <= _PLAUSIBLE_FOV_DEG[1] else None


def _focal_from_equivalent(tags: Mapping[int, object], width: int, height: int) -> float | None:
    equivalent_mm = _positive(tags.get(_FOCAL_LENGTH_35MM))  # CIPA DCG-001 defines it by the diagonal
    return equivalent_mm * hypot(width, height) / _FULL_FRAME_DIAGONAL_MM if equivalent_mm else None


def _focal_from_sensor(tags: Mapping[int, object], width: int) -> float | None:
    focal_mm = _positive(tags.get(_FOCAL_LENGTH_MM))
    per_unit = _positive(tags.get(_FOCAL_PLANE_X_RESOLUTION))
    unit_mm = _MM_PER_FOCAL_PLANE_UNIT.get(int(_positive(tags.get(_FOCAL_PLANE_UNIT)) or 2))
    if not (focal_mm and per_unit and unit_mm):
        return None
    recorded_width = _positive(tags.get(_PIXEL_X_DIMENSION)) or width  # the width the resolution speaks of
    return focal_mm * per_unit / unit_mm * width / recorded_width


def _positive(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # EXIF rationals convert; anything else is refused below
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < float("inf") else None


def _suffix_list() -> str:
    return ", ".join(sorted(PHOTO_SUFFIXES))
