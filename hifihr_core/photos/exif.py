"""Read a photo's camera from EXIF."""

from collections.abc import Mapping
from math import hypot

from PIL import Image

_FULL_FRAME_DIAGONAL_MM = hypot(36.0, 24.0)
_EXIF_IFD = 0x8769
_FOCAL_LENGTH_MM = 0x920A
_FOCAL_LENGTH_35MM = 0xA405
_FOCAL_PLANE_X_RESOLUTION = 0xA20E
_FOCAL_PLANE_UNIT = 0xA210
_PIXEL_X_DIMENSION = 0xA002
_MM_PER_FOCAL_PLANE_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


def exif_focal_px(exif: Image.Exif, width: int, height: int) -> float | None:
    """Return the focal length in pixels, or None if EXIF has none; `width` and `height` are those before rotation.

    The value may be implausible: editors shrink photos but keep the stated sensor resolution.
    """
    tags = exif.get_ifd(_EXIF_IFD)
    return _focal_from_equivalent(tags, width, height) or _focal_from_sensor(tags, width)


def _focal_from_equivalent(tags: Mapping[int, object], width: int, height: int) -> float | None:
    equivalent_mm = _positive(tags.get(_FOCAL_LENGTH_35MM))  # CIPA DCG-001 defines it by the diagonal
    return equivalent_mm * hypot(width, height) / _FULL_FRAME_DIAGONAL_MM if equivalent_mm else None


def _focal_from_sensor(tags: Mapping[int, object], width: int) -> float | None:
    focal_mm = _positive(tags.get(_FOCAL_LENGTH_MM))
    per_unit = _positive(tags.get(_FOCAL_PLANE_X_RESOLUTION))
    unit_mm = _MM_PER_FOCAL_PLANE_UNIT.get(int(_positive(tags.get(_FOCAL_PLANE_UNIT)) or 2))
    if not (focal_mm and per_unit and unit_mm):
        return None
    recorded_width = _positive(tags.get(_PIXEL_X_DIMENSION)) or width  # the width to which the resolution refers
    return focal_mm * per_unit / unit_mm * width / recorded_width


def _positive(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # EXIF rationals convert; anything else is refused below
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < float("inf") else None
