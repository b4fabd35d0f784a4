"""Training the keypoint lifter on hands that never end: sampled poses, cameras, and a detector's mistakes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.models.lifter import Lifted, Lifter, build_lifter
from hifihr_core.skeleton import FINGERS, ROOT

#: Tangents of half the angle that a hand covers: far away in a photo, to a hand held before a phone.
EXTENT_RANGE = (0.015, 0.45)
#: Furthest that a hand stands from the optical axis, as a tangent.
OFF_AXIS = 0.6
_HALF_HAND_M = 0.09


@dataclass(frozen=True)
class LifterTraining:
    """How long, how large, and how wrong the detector is made.

    Noise is in units of half the hand's size in the image: every sample draws its own level up to `noise`.
    """

    steps: int = 20_000
    batch_size: int = 512
    lr: float = 1e-3
    weight_decay: float = 0.01
    seed: int = 0
    noise: float = 0.12
    outlier_share: float = 0.03
    dropped_share: float = 0.05
    dropped_finger_share: float = 0.1
    swapped_share: float = 0.03
    ema: float = 0.999


@dataclass(frozen=True)
class KeypointBatch:
    """Synthetic hands: what a detector would say of them, and the truth, in the camera frame."""

    keypoints_px: Float[Tensor, "B 21 2"]
    confidence: Float[Tensor, "B 21"]
    K: Float[Tensor, "B 3 3"]
    parameters: HandParameters
    root_cam: Float[Tensor, "B 3"]
    joints_cam: Float[Tensor, "B 21 3"]


def sample_keypoints(
    hand: HandModel, batch: int, *, generator: torch.Generator, settings: LifterTraining = LifterTraining()
) -> KeypointBatch:
    """Draw hands before cameras, with a detector's noise, outliers, and lost and swapped joints."""
    drawn = hand.sample_parameters(batch, generator=generator)
    parameters = HandParameters(drawn.global_orient, drawn.pose, drawn.shape)
    root_cam, K = _stand(batch, generator)
    joints_cam = hand.joints_of(parameters) + root_cam[:, None]
    # A joint may come behind the lens when a hand is very near: move such hands away.
    lacking = (0.05 - joints_cam[..., 2].amin(dim=1)).clamp_min(0)
    root_cam = root_cam + lacking[:, None] * root_cam / root_cam[:, 2:]
    joints_cam = joints_cam + (lacking[:, None] * root_cam / root_cam[:, 2:])[:, None]
    keypoints_px = project(joints_cam, K)
    spoiled, confidence = spoil(keypoints_px, generator=generator, settings=settings)
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
    keypoints_px: Float[Tensor, "B 21 2"], *, generator: torch.Generator, settings: LifterTraining
) -> tuple[Float[Tensor, "B 21 2"], Float[Tensor, "B 21"]]:
    """Return keypoints as a detector would give them, and its confidences; 0 where it lost a joint."""
    batch, joints = keypoints_px.shape[:2]
    device = keypoints_px.device

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, device=device)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=device)

    half_px = (keypoints_px.amax(dim=1) - keypoints_px.amin(dim=1)).amax(dim=1)[:, None, None] / 2
    level = settings.noise * uniform(batch, 1, 1) ** 2
    outlier = uniform(batch, joints, 1) < settings.outlier_share
    sigma = torch.where(outlier, 0.3, level)
    # The whole hand is found a little off too, as detectors do it.
    points = keypoints_px + (sigma * normal(batch, joints, 2) + 0.3 * level * normal(batch, 1, 2)) * half_px
    points = _swap_fingers(points, uniform(batch), uniform(batch, 2), settings.swapped_share)
    confidence = (1 - 2 * level[..., 0] + 0.1 * normal(batch, joints)).clamp(0.05, 1)
    confidence = torch.where(outlier[..., 0], confidence * uniform(batch, joints).clamp_min(0.1), confidence)
    flat = uniform(batch, 1) < 0.5  # MediaPipe gives one score for the whole hand
    confidence = torch.where(flat, confidence.mean(dim=1, keepdim=True), confidence)
    lost = (uniform(batch, joints) < settings.dropped_share * 2 * uniform(batch, 1)) | _lost_finger(
        uniform(batch), uniform(batch), settings.dropped_finger_share, joints
    )
    lost[:, ROOT] = False
    return points, torch.where(lost, 0.0, confidence)


def _swap_fingers(points: Tensor, chance: Tensor, pick: Float[Tensor, "B 2"], share: float) -> Tensor:
    """Exchange two fingers of some hands."""
    fingers = points[:, 1:].reshape(len(points), len(FINGERS), 4, 2)
    a, b = (pick * len(FINGERS)).long().clamp_max(len(FINGERS) - 1).unbind(dim=1)
    rows = torch.arange(len(points), device=points.device)
    swapped = fingers.clone()
    swapped[rows, a], swapped[rows, b] = fingers[rows, b], fingers[rows, a]
    chosen = torch.where((chance < share)[:, None, None, None], swapped, fingers)
    return torch.cat((points[:, :1], chosen.reshape(len(points), -1, 2)), dim=1)


def _lost_finger(chance: Tensor, pick: Tensor, share: float, joints: int) -> Tensor:
    """Return which joints are lost because a finger is hidden from some joint on."""
    joint = torch.arange(joints, device=chance.device)
    finger = (joint - 1).div(4, rounding_mode="floor")
    hidden = (pick * len(FINGERS)).floor()
    outer = (joint - 1) % 4 >= 1
    return (chance < share)[:, None] & (finger == hidden[:, None]) & outer


def lifter_loss(hand: HandModel, lifted: Lifted, truth: KeypointBatch) -> dict[str, Float[Tensor, ""]]:
    """Return the weighed terms: joints (root frame, camera frame), rotation, pose, shape, reprojection, distance."""
    joints = hand.joints_of(lifted.parameters)
    true_joints = truth.joints_cam - truth.root_cam[:, None]
    relative = (joints - true_joints).norm(dim=-1).mean()
    R = roma.rotvec_to_rotmat(lifted.parameters.global_orient)
    R_true = roma.rotvec_to_rotmat(truth.parameters.global_orient)
    joints_cam = joints + lifted.root_cam[:, None]
    near = torch.cat((joints_cam[..., :2], joints_cam[..., 2:].clamp_min(0.02)), dim=-1)
    pixels, true_pixels = project(near, truth.K), project(truth.joints_cam, truth.K)
    half_px = (true_pixels.amax(dim=1) - true_pixels.amin(dim=1)).amax(dim=1) / 2
    reprojection = ((pixels - true_pixels).norm(dim=-1).mean(dim=1) / half_px).clamp_max(2).mean()
    distance = (lifted.root_cam[:, 2].clamp_min(1e-3).log() - truth.root_cam[:, 2].log()).abs().mean()
    return {
        "joints": 50 * relative,
        "rotation": 0.3 * (R - R_true).square().sum(dim=(1, 2)).mean(),
        "pose": 0.5 * (lifted.parameters.pose - truth.parameters.pose).square().mean(),
        "shape": 0.02 * (lifted.parameters.shape - truth.parameters.shape).square().mean(),
        "reprojection": 1.0 * reprojection,
        "distance": 1.0 * distance,
    }


def train_lifter(
    hand: HandModel,
    settings: LifterTraining = LifterTraining(),
    *,
    width: int = 384,
    blocks: int = 4,
    max_minutes: float | None = None,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, terms: None,
) -> Lifter:
    """Train a lifter for `hand` on its own device; the result is the moving average of its weights.

    With `max_minutes` the learning rate falls with the time instead of the steps, so that the run ends annealed.
    """
    generator = torch.Generator(device=hand.faces.device).manual_seed(settings.seed)
    torch.manual_seed(settings.seed)
    lifter = build_lifter(hand, width=width, blocks=blocks).to(hand.faces.device).train()
    average = torch.optim.swa_utils.AveragedModel(
        lifter, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema), use_buffers=True
    )
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    began = time.monotonic()
    for step in range(settings.steps):
        done = step / settings.steps
        if max_minutes is not None:
            done = max(done, (time.monotonic() - began) / 60 / max_minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = (
                settings.lr * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * float(torch.cos(torch.tensor(torch.pi * done))))
            )
        with torch.no_grad():
            truth = sample_keypoints(hand, settings.batch_size, generator=generator, settings=settings)
        terms = lifter_loss(hand, lifter(truth.keypoints_px, truth.confidence, truth.K), truth)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(lifter)
        on_step(step, {name: float(value) for name, value in terms.items()})
    trained = average.module
    assert isinstance(trained, Lifter)
    return trained.eval()
