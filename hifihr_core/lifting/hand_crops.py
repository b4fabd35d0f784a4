"""Cut the detections of a photo into a batch of crops with their cameras, in which left hands are mirrored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.geometry.crops import flip_horizontal, square_around, square_crop, transform_points
from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.lifting.seen_definition import seen_definition
from hifihr_core.photos.detections import GIVEN_BOX_SCALE, KEYPOINT_BOX_SCALE, Detection, check_in_photo
from hifihr_core.photos.reading import Photo
from hifihr_core.placed_hands import map_tensors
from hifihr_core.records import Side
from hifihr_core.skeleton import NUM_JOINTS


@dataclass(frozen=True)
class Crops:
    """Crops of one photo, left hands mirrored.

    `T_crop_photo[b]` maps pixels of the full-size photo to those of crop b (including the flip of a left hand);
    `K` is the camera of the crop, in which a left hand's x is negated. Without keypoints, `confidence` is 0.
    `by_eyes` marks hands whose keypoints come from the eyes (the built-in detector), which define joints in their own
    way; None means that no hand has such keypoints.
    """

    image: Float[Tensor, "B 3 H W"]
    K: Float[Tensor, "B 3 3"]
    T_crop_photo: Float[Tensor, "B 3 3"]
    keypoints_px: Float[Tensor, "B 21 2"]
    confidence: Float[Tensor, "B 21"]
    sides: tuple[Side, ...]
    by_eyes: Bool[Tensor, " B"] | None = None

    @property
    def inside(self) -> Bool[Tensor, "B H W"]:
        """The mask of pixels inside the photo: outside it, a crop is exactly black, which skin and noise never are."""
        return self.image.amax(dim=1) > 0

    def definitions(self, joint_definition: str) -> Float[Tensor, "B 21 21"]:
        """Return the definition of each hand's keypoints: keypoint k is row k times the joints of a hand model.

        `joint_definition` is that of the model; keypoints that do not come from the eyes are its joints.
        """
        same = torch.eye(NUM_JOINTS).to(self.keypoints_px)
        weights = seen_definition(joint_definition)
        if self.by_eyes is None or weights is None:
            return same.expand(len(self.K), -1, -1)
        return torch.where(self.by_eyes[:, None, None], weights.to(same), same)

    def to(self, device: torch.device) -> "Crops":
        """Return the same crops on another device."""
        return map_tensors(lambda values: values.to(device), self)


def cut_crops(
    photo: Photo,
    detections: Sequence[Detection],
    K: Float[np.ndarray, "3 3"],
    *,
    image_px: int,
    box_scale: float | None = None,
) -> Crops:
    """Cut one square crop per detection, `box_scale` times the longer side of its box; an unknown side counts as right.

    The default scale depends on whether the detection has keypoints. `K` and the detections are in pixels of the
    full-size photo.
    Raises: DataError for a hand that cannot be in this photo; see `check_in_photo`.
    """
    for one in detections:
        check_in_photo(one, *photo.size_px)
    sides: tuple[Side, ...] = tuple(one.side or "right" for one in detections)
    rows = [_cut(photo, one, K, side, image_px, box_scale) for one, side in zip(detections, sides, strict=True)]
    crops, Ks, transforms, keypoints, confidence = (np.stack(column) for column in zip(*rows, strict=True))
    return Crops(
        image=torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255,
        K=torch.from_numpy(Ks).float(),
        T_crop_photo=torch.from_numpy(transforms).float(),
        keypoints_px=torch.from_numpy(keypoints).float(),
        confidence=torch.from_numpy(confidence).float(),
        sides=sides,
        by_eyes=torch.tensor([one.seen is not None for one in detections]),
    )


def _cut(
    photo: Photo, one: Detection, K: np.ndarray, side: Side, image_px: int, box_scale: float | None
) -> tuple[np.ndarray, ...]:
    turn = np.eye(3) if side == "right" else flip_horizontal(photo.size_px[0])
    scale = box_scale or (GIVEN_BOX_SCALE if one.keypoints_px is None else KEYPOINT_BOX_SCALE)
    center_px, side_px = square_around(one.box_px, scale=scale)
    center_px = transform_points(center_px[None], turn)[0]
    T_crop_photo = square_crop(center_px, side_px, image_px=image_px) @ turn
    crop = photo.warp(T_crop_photo, width=image_px, height=image_px)
    # Mirroring the picture mirrors the world: K' = T K M with M = diag(-1, 1, 1) keeps the focal lengths positive.
    mirror = np.diag(mirror_axis(side))
    if one.keypoints_px is None or one.keypoints_confidence is None:
        keypoints, confidence = np.zeros((21, 2)), np.zeros(21)
    else:
        keypoints, confidence = transform_points(one.keypoints_px, T_crop_photo), one.keypoints_confidence
    return crop, T_crop_photo @ K @ mirror, T_crop_photo, keypoints, confidence
