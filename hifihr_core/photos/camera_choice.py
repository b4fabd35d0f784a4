"""Choose a photo's camera: from the user, a file, EXIF, or an assumption."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, degrees, hypot
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from hifihr_core.errors import DataError
from hifihr_core.geometry.lenses import default_focal_px, focal_from_fov, ideal_K
from hifihr_core.outside.number_files import read_numbers
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.reading import Photo

#: Plausible diagonal fields of view, degrees: from focal lengths of 400 mm to 8 mm in full frame.
PLAUSIBLE_FOV_DEG = (6.0, 140.0)

_K_FORM = "a camera matrix [[fx, s, cx], [0, fy, cy], [0, 0, 1]] in pixels"

CameraSource = Literal["given", "hands file", "exif", "assumed"]


@dataclass(frozen=True)
class PhotoCamera:
    """The camera of a photo.

    `K` is in pixels of the upright full-size photo. `notes` describe anything unusual.
    """

    K: Float[np.ndarray, "3 3"]
    source: CameraSource
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> bool:
        """Whether the focal length is known; if not, distances follow from an assumed field of view."""
        return self.source != "assumed"


@dataclass(frozen=True)
class CameraChoice:
    """The user's choice of camera: at most one of its fields is given.

    `focal_px` and `intrinsics` (K) are in pixels of the full-size photo; `fov_deg` is the field of view across the
    diagonal, degrees.
    """

    focal_px: float | None = None
    fov_deg: float | None = None
    intrinsics: Float[np.ndarray, "3 3"] | None = None

    def K(self, width: int, height: int) -> Float[np.ndarray, "3 3"] | None:
        """Return the camera for a photo of this size, or None if the user gave none."""
        if self.intrinsics is not None:
            return np.asarray(self.intrinsics, np.float64)
        if self.focal_px is not None:
            return ideal_K(self.focal_px, width, height)
        if self.fov_deg is not None:
            return ideal_K(focal_from_fov(self.fov_deg, width, height), width, height)
        return None


def choose_camera(
    photo: Photo, choice: CameraChoice = CameraChoice(), detections: Sequence[Detection] = ()
) -> PhotoCamera:
    """Return the camera of a photo: the user's choice, else that in the hands file, else EXIF's, else an assumed one.

    The assumed camera has a diagonal field of view of 60 degrees.

    Raises: DataError for an implausible field of view.
    """
    width, height = photo.size_px
    K = choice.K(width, height)
    if K is not None:
        return PhotoCamera(K, "given", check_camera(K, width, height))
    of_hands = next((one.K for one in detections if one.K is not None), None)
    if of_hands is not None:
        return PhotoCamera(of_hands, "hands file", check_camera(of_hands, width, height))
    if photo.focal_px is not None and is_plausible(photo.focal_px, width, height):
        return PhotoCamera(ideal_K(photo.focal_px, width, height), "exif")
    return PhotoCamera(ideal_K(default_focal_px(width, height), width, height), "assumed")


def is_plausible(focal_px: float, width: int, height: int) -> bool:
    """Return whether a focal length gives a field of view within `PLAUSIBLE_FOV_DEG`."""
    return PLAUSIBLE_FOV_DEG[0] <= _fov_deg(focal_px, width, height) <= PLAUSIBLE_FOV_DEG[1]


def check_camera(K: Float[np.ndarray, "3 3"], width: int, height: int, *, what: str = "a photo of") -> tuple[str, ...]:
    """Return notes on what is unusual about a camera for a photo of this size.

    `what` comes before the size in messages. Raises: DataError if the camera cannot belong to the photo.
    """
    low, high = (focal_from_fov(fov, width, height) for fov in reversed(PLAUSIBLE_FOV_DEG))
    for focal_px in (K[0, 0], K[1, 1]):
        if not low <= focal_px <= high:
            raise DataError(
                f"a focal length of {focal_px:.6g} pixels does not fit {what} {width} x {height} pixels, expected "
                f"{low:.0f} to {high:.0f} pixels ({PLAUSIBLE_FOV_DEG[1]:.0f} to {PLAUSIBLE_FOV_DEG[0]:.0f} degrees of "
                "view); give it in pixels at this size, not in millimetres, normalised, or for another size"
            )
    x, y = K[0, 2], K[1, 2]
    if 0 <= x <= width and 0 <= y <= height:
        return ()
    return (
        f"the principal point ({x:.6g}, {y:.6g}) is outside the photo of {width} x {height} pixels; "
        "check that K belongs to this photo",
    )


def _fov_deg(focal_px: float, width: int, height: int) -> float:
    return degrees(2 * atan(hypot(width, height) / 2 / focal_px)) if focal_px > 0 else 180.0


def read_intrinsics(path: Path) -> Float[np.ndarray, "3 3"]:
    """Read K: nine numbers as JSON (3 x 3), text, or `.npy`. Raises: DataError for anything else."""
    values = read_numbers(path, remedy=f"give {_K_FORM}")
    if values.size != 9:
        found = "1 number" if values.size == 1 else f"{values.size} numbers"
        raise DataError(f"{path}: contains {found}, expected {_K_FORM}")
    K = values.reshape(3, 3)
    if not (np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0 and np.allclose(K[2], (0, 0, 1))):
        raise DataError(f"{path}: contains {K.tolist()}, expected {_K_FORM}, with positive fx and fy")
    return K
