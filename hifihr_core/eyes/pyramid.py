"""A photo at several scales, from which regions are cut without aliasing."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from hifihr_core.eyes.regions import Regions
from hifihr_core.geometry.crops import image_scale, opencv_matrix

#: Above this scale bilinear sampling causes no noticeable aliasing.
_SCALE = 0.7


class Pyramid:
    """A photo at full, half, quarter size and so on, each computed on first use."""

    def __init__(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        self._levels = [np.ascontiguousarray(image)]
        self.height, self.width = image.shape[:2]

    def cut(
        self, regions: Regions, image_px: int, *, border: int = cv2.BORDER_REPLICATE
    ) -> Sequence[UInt8[np.ndarray, "h w 3"]]:
        """Return each region as a picture `image_px` pixels wide; `border` fills the area outside the photo."""
        return [self._cut_one(T_crop_photo, image_px, border) for T_crop_photo in regions.transforms(image_px)]

    def _cut_one(self, T_crop_photo: np.ndarray, image_px: int, border: int) -> np.ndarray:
        level = max(0, int(np.ceil(np.log2(_SCALE / image_scale(T_crop_photo)))))
        source = self._level(level)
        factor = np.array([self.width / source.shape[1], self.height / source.shape[0]])
        matrix = opencv_matrix(T_crop_photo @ np.diag((*factor, 1.0)))
        return cv2.warpAffine(source, matrix, (image_px, image_px), flags=cv2.INTER_LINEAR, borderMode=border)

    def _level(self, level: int) -> np.ndarray:
        while len(self._levels) <= level and min(self._levels[-1].shape[:2]) > 1:
            last = self._levels[-1]
            size = (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2))
            self._levels.append(cv2.resize(last, size, interpolation=cv2.INTER_AREA))
        return self._levels[min(level, len(self._levels) - 1)]
