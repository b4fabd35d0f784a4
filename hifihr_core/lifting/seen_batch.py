"""Training hands with the output of the eyes (the built-in detector): rendered with ground truth, or in photos."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float16
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandParameters
from hifihr_core.lifting.noisy_keypoints import KeypointBatch


@dataclass(frozen=True)
class SeenHands:
    """N rendered right hands: the eyes' output in pixels of their pictures, and the ground truth in the camera frame.

    `looks_px` are the joints in L slightly different crops (looks) of each hand. `body` holds the feature maps of the
    eyes' first blocks for V crops of each hand, whose positions are given by `T_crop_photo`.
    """

    looks_px: Float[Tensor, "N L 21 2"]
    depth_px: Float[Tensor, "N 21"]
    metres: Float[Tensor, "N 21 3"]
    body: Float16[Tensor, "N V C h w"]
    T_crop_photo: Float[Tensor, "N V 3 3"]
    K: Float[Tensor, "N 3 3"]
    parameters: HandParameters
    root_cam: Float[Tensor, "N 3"]
    joints_cam: Float[Tensor, "N 21 3"]

    def __len__(self) -> int:
        """Return the number of hands."""
        return len(self.K)

    def truth(self, which: Tensor) -> KeypointBatch:
        """Return the ground truth of some hands; their keypoints are the mean of their looks, with confidence 1."""
        own, points = self.parameters, self.looks_px[which].mean(dim=1)
        return KeypointBatch(
            keypoints_px=points,
            confidence=torch.ones_like(points[..., 0]),
            K=self.K[which],
            parameters=HandParameters(own.global_orient[which], own.pose[which], own.shape[which]),
            root_cam=self.root_cam[which],
            joints_cam=self.joints_cam[which],
        )

    def spread_px(self, which: Tensor) -> Float[Tensor, "B 21"]:
        """Return the sample standard deviation (L - 1) of every joint over the looks, per axis, pixels."""
        looks = self.looks_px[which]
        squared = (looks - looks.mean(dim=1, keepdim=True)).square().sum(dim=-1)
        return (squared.sum(dim=1) / (2 * (looks.shape[1] - 1))).sqrt()

    def joints_px(self, which: Tensor) -> Float[Tensor, "B 21 2"]:
        """Return the true joints in pixels of the picture."""
        return project(self.joints_cam[which], self.K[which])


@dataclass(frozen=True)
class SeenPhotos:
    """N right (or mirrored left) hands in photos, labelled with the eyes' own output in photo pixels.

    `body` holds the feature maps of the eyes' first blocks for one crop of each hand, at `T_crop_photo`. `weight` is
    the trust in each joint, 0 to 1; `K` is a typical camera, since the true one is unknown.
    """

    body: Float16[Tensor, "N C h w"]
    T_crop_photo: Float[Tensor, "N 3 3"]
    joints_px: Float[Tensor, "N 21 2"]
    spread_px: Float[Tensor, "N 21"]
    depth_px: Float[Tensor, "N 21"]
    metres: Float[Tensor, "N 21 3"]
    weight: Float[Tensor, "N 21"]
    K: Float[Tensor, "N 3 3"]

    def __len__(self) -> int:
        """Return the number of hands."""
        return len(self.body)
