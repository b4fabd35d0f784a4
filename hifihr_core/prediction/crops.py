"""From a photo and its detections to a batch of right-looking crops, each with its camera."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hifihr_core.errors import DataError
from hifihr_core.geometry.crops import flip_horizontal, square_around, square_crop, transform_points, warp_image
from hifihr_core.photos.detectors import Detection
from hifihr_core.records import Side

#: A detector's box ends at the joints' centres; the crop shows the hand's flesh and some surroundings too.
KEYPOINT_BOX_SCALE = 1.5
GIVEN_BOX_SCALE = 1.1


@dataclass(frozen=True)
class Crops:
    """Crops of one photo, left hands mirrored.

    `T_crop_photo[b]` maps pixels of the upright photo to those of crop b (a flip for a left hand included); `K` is the
    camera of the crop, in which a left hand's x is negated. Without keypoints, `confidence` is 0.
    """

    image: Float[Tensor, "B 3 H W"]
    K: Float[Tensor, "B 3 3"]
    T_crop_photo: Float[Tensor, "B 3 3"]
    keypoints_px: Float[Tensor, "B 21 2"]
    confidence: Float[Tensor, "B 21"]
    sides: tuple[Side, ...]

    def to(self, device: torch.device) -> "Crops":
        """Return the same crops on another device."""
        return Crops(
            self.image.to(device),
            self.K.to(device),
            self.T_crop_photo.to(device),
            self.keypoints_px.to(device),
            self.confidence.to(device),
            self.sides,
        )


def cut_crops(
    image: UInt8[np.ndarray, "H W 3"],
    detections: Sequence[Detection],
    K: Float[np.ndarray, "3 3"],
    *,
    image_px: int,
    box_scale: float | None = None,
) -> Crops:
    """Cut one square crop per detection, `box_scale` times the longer side of its box; no side means a right hand.

    Raises DataError for a box that lies outside the photo.
    """
    height, width = image.shape[:2]
    for one in detections:
        x0, y0, x1, y1 = one.box_px
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            raise DataError(f"box {np.round(one.box_px).tolist()} lies outside the photo of {width} x {height} pixels")
    sides: tuple[Side, ...] = tuple(one.side or "right" for one in detections)
    rows = [_cut(image, one, K, side, image_px, box_scale) for one, side in zip(detections, sides, strict=True)]
    crops, Ks, transforms, keypoints, confidence = (np.stack(column) for column in zip(*rows, strict=True))
    return Crops(
        image=torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255,
        K=torch.from_numpy(Ks).float(),
        T_crop_photo=torch.from_numpy(transforms).float(),
        keypoints_px=torch.from_numpy(keypoints).float(),
        confidence=torch.from_numpy(confidence).float(),
        sides=sides,
    )


def _cut(
    image: np.ndarray, one: Detection, K: np.ndarray, side: Side, image_px: int, box_scale: float | None
) -> tuple[np.ndarray, ...]:
    turn = np.eye(3) if side == "right" else flip_horizontal(image.shape[1])
    scale = box_scale or (GIVEN_BOX_SCALE if one.keypoints_px is None else KEYPOINT_BOX_SCALE)
    center_px, side_px = square_around(one.box_px, scale=scale)
    center_px = transform_points(center_px[None], turn)[0]
    T_crop_photo = square_crop(center_px, side_px, image_px=image_px) @ turn
    crop = warp_image(image, T_crop_photo, width=image_px, height=image_px)
    # Mirroring the picture mirrors the world: K' = T K M with M = diag(-1, 1, 1) keeps the focal lengths positive.
    mirror = np.diag([1.0 if side == "right" else -1.0, 1.0, 1.0])
    if one.keypoints_px is None or one.keypoints_confidence is None:
        keypoints, confidence = np.zeros((21, 2)), np.zeros(21)
    else:
        keypoints, confidence = transform_points(one.keypoints_px, T_crop_photo), one.keypoints_confidence
    return crop, T_crop_photo @ K @ mirror, T_crop_photo, keypoints, confidence
