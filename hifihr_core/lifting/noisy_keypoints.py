"""Synthetic keypoints: random hands and cameras, with simulated errors of a detector."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.skeleton import FINGERS, ROOT

#: Range of the tangent of half the angle that a hand covers: from far away to close to a phone.
EXTENT_RANGE = (0.015, 0.45)
#: Largest angle of a hand from the optical axis, as a tangent.
OFF_AXIS = 0.6
_HALF_HAND_M = 0.09


@dataclass(frozen=True)
class DetectorNoise:
    """The errors of the simulated detector.

    `level` is the largest standard deviation of the noise, in units of half the hand's size in the image; each hand
    draws its own standard deviation up to it. The shares are those of outlier joints, lost joints, hands with a lost
    finger, and hands with two swapped fingers.
    """

    level: float = 0.12
    outlier_share: float = 0.03
    dropped_share: float = 0.05
    dropped_finger_share: float = 0.1
    swapped_share: float = 0.03


@dataclass(frozen=True)
class KeypointBatch:
    """Synthetic hands: simulated detections in pixels, and the ground truth in the camera frame, metres."""

    keypoints_px: Float[Tensor, "B 21 2"]
    confidence: Float[Tensor, "B 21"]
    K: Float[Tensor, "B 3 3"]
    parameters: HandParameters
    root_cam: Float[Tensor, "B 3"]
    joints_cam: Float[Tensor, "B 21 3"]


def sample_keypoints(
    hand: HandModel, batch: int, *, generator: torch.Generator, noise: DetectorNoise = DetectorNoise()
) -> KeypointBatch:
    """Sample hands, cameras, and keypoints with a detector's errors: noise, outliers, lost joints, swapped fingers."""
    drawn = hand.sample_parameters(batch, generator=generator)
    parameters = HandParameters(drawn.global_orient, drawn.pose, drawn.shape)
    root_cam, K = _stand(batch, generator)
    joints_cam = hand.joints_of(parameters) + root_cam[:, None]
    # Joints of a very near hand may be behind the lens: move such hands away.
    lacking = (0.05 - joints_cam[..., 2].amin(dim=1)).clamp_min(0)
    root_cam = root_cam + lacking[:, None] * root_cam / root_cam[:, 2:]
    joints_cam = joints_cam + (lacking[:, None] * root_cam / root_cam[:, 2:])[:, None]
    keypoints_px = project(joints_cam, K)
    spoiled, confidence = spoil(keypoints_px, generator=generator, noise=noise)
    return KeypointBatch(spoiled, confidence, K, parameters, root_cam, joints_cam)


def _stand(batch: int, generator: torch.Generator) -> tuple[Float[Tensor, "B 3"], Float[Tensor, "B 3 3"]]:
    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, device=generator.device)

    low, high = (torch.tensor(value).log() for value in EXTENT_RANGE)
    depth = _HALF_HAND_M / torch.exp(low + (high - low) * uniform(batch))
    across = (2 * uniform(batch, 2) - 1) * OFF_AXIS
    root = torch.cat((across, torch.ones(batch, 1, device=across.device)), dim=1) * depth[:, None]
    K = torch.eye(3, device=across.device).repeat(batch, 1, 1)
    K[:, 0, 0] = K[:, 1, 1] = 1000.0
    return root, K


def spoil(
    keypoints_px: Float[Tensor, "B 21 2"], *, generator: torch.Generator, noise: DetectorNoise
) -> tuple[Float[Tensor, "B 21 2"], Float[Tensor, "B 21"]]:
    """Return true keypoints with the errors of a detector added, and their confidences, which are 0 for lost joints."""
    batch, joints = keypoints_px.shape[:2]
    device = keypoints_px.device

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, device=device)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=device)

    half_px = (keypoints_px.amax(dim=1) - keypoints_px.amin(dim=1)).amax(dim=1)[:, None, None] / 2
    level = noise.level * uniform(batch, 1, 1) ** 2
    outlier = uniform(batch, joints, 1) < noise.outlier_share
    sigma = torch.where(outlier, 0.3, level)
    # Detectors also misplace the hand as a whole.
    points = keypoints_px + (sigma * normal(batch, joints, 2) + 0.3 * level * normal(batch, 1, 2)) * half_px
    points = _swap_fingers(points, uniform(batch), uniform(batch, 2), noise.swapped_share)
    confidence = (1 - 2 * level[..., 0] + 0.1 * normal(batch, joints)).clamp(0.05, 1)
    confidence = torch.where(outlier[..., 0], confidence * uniform(batch, joints).clamp_min(0.1), confidence)
    flat = uniform(batch, 1) < 0.5  # MediaPipe gives one score for the whole hand
    confidence = torch.where(flat, confidence.mean(dim=1, keepdim=True), confidence)
    lost = (uniform(batch, joints) < noise.dropped_share * 2 * uniform(batch, 1)) | _lost_finger(
        uniform(batch), uniform(batch), noise.dropped_finger_share, joints
    )
    lost[:, ROOT] = False
    return points, torch.where(lost, 0.0, confidence)


def _swap_fingers(points: Tensor, chance: Tensor, pick: Float[Tensor, "B 2"], share: float) -> Tensor:
    """Swap two fingers in a `share` of the hands; `chance` and `pick` are uniform random numbers in [0, 1)."""
    fingers = points[:, 1:].reshape(len(points), len(FINGERS), 4, 2)
    a, b = (pick * len(FINGERS)).long().clamp_max(len(FINGERS) - 1).unbind(dim=1)
    rows = torch.arange(len(points), device=points.device)
    swapped = fingers.clone()
    swapped[rows, a], swapped[rows, b] = fingers[rows, b], fingers[rows, a]
    chosen = torch.where((chance < share)[:, None, None, None], swapped, fingers)
    return torch.cat((points[:, :1], chosen.reshape(len(points), -1, 2)), dim=1)


def _lost_finger(chance: Tensor, pick: Tensor, share: float, joints: int) -> Tensor:
    """Return which joints are lost because a finger is hidden from its second joint on, in a `share` of the hands.

    `chance` and `pick` are uniform random numbers in [0, 1).
    """
    joint = torch.arange(joints, device=chance.device)
    finger = (joint - 1).div(4, rounding_mode="floor")
    hidden = (pick * len(FINGERS)).floor()
    outer = (joint - 1) % 4 >= 1
    return (chance < share)[:, None] & (finger == hidden[:, None]) & outer
