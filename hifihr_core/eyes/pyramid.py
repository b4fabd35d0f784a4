"""A photo at several scales, from which regions are cut without aliasing."""

from collections.abc import Sequence
from threading import Lock

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from hifihr_core.eyes.regions import Regions
from hifihr_core.geometry.crops import image_scale, opencv_matrix

#: Above this scale bilinear sampling causes no noticeable aliasing.
_SCALE = 0.7


class Pyramid:
    """A photo at full, half, quarter size and so on, each computed on first use."""

    def __init__(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        self._levels = [np.ascontiguousarray(image)]
        self.height, self.width = image.shape[:2]
        self._growing = Lock()

    def cut(
        self,
        regions: Regions,
        image_px: int,
        *,
        border: int = cv2.BORDER_REPLICATE,
        mirrored: Bool[np.ndarray, " N"] | None = None,
    ) -> "Cuts":
        """Return each region as a picture `image_px` pixels wide, `mirrored` left to right where that is True.

        `border` is OpenCV's mode of filling the area outside the photo.
        """
        transforms = regions.transforms(image_px)
        flips = [False] * len(transforms) if mirrored is None else mirrored.tolist()
        return Cuts([self._source(T) for T in transforms], flips, image_px, border)

    def _source(self, T_crop_photo: Float[np.ndarray, "3 3"]) -> tuple[np.ndarray, np.ndarray]:
        """Return the level from which to cut a region, and the transform from pixels of that level to the crop."""
        source = self._level(max(0, int(np.ceil(np.log2(_SCALE / image_scale(T_crop_photo))))))
        factor = np.array([self.width / source.shape[1], self.height / source.shape[0]])
        return source, T_crop_photo @ np.diag((*factor, 1.0))

    def _level(self, level: int) -> np.ndarray:
        with self._growing:
            while len(self._levels) <= level and min(self._levels[-1].shape[:2]) > 1:
                last = self._levels[-1]
                size = (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2))
                self._levels.append(cv2.resize(last, size, interpolation=cv2.INTER_AREA))
        return self._levels[min(level, len(self._levels) - 1)]


class Cuts(Sequence[np.ndarray]):
    """Pictures of regions. Each is cut when it is accessed, so that the thread that processes it also cuts it."""

    def __init__(
        self, sources: Sequence[tuple[np.ndarray, np.ndarray]], mirrored: Sequence[bool], image_px: int, border: int
    ) -> None:
        self._sources, self._mirrored = sources, mirrored
        self._size, self._border = (image_px, image_px), border

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._sources)

    def __getitem__(self, number: int) -> UInt8[np.ndarray, "h w 3"]:  # type: ignore[override]
        """Cut and return picture `number`."""
        source, T_crop_source = self._sources[number]
        matrix = opencv_matrix(T_crop_source)
        picture = cv2.warpAffine(source, matrix, self._size, flags=cv2.INTER_LINEAR, borderMode=self._border)
        return np.ascontiguousarray(picture[:, ::-1]) if self._mirrored[number] else picture
