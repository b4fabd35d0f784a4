"""Train the keypoint lifter on an endless stream of hands: random poses and cameras, with a detector's errors."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.geometry.alignment import procrustes
from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel
from hifihr_core.lifting.averaged_training import OnStep, Schedule, train_average
from hifihr_core.lifting.lifter import Lifter, build_lifter
from hifihr_core.lifting.noisy_keypoints import DetectorNoise, KeypointBatch, sample_keypoints
from hifihr_core.metrics.pose import mpjpe, pa_mpjpe
from hifihr_core.placed_hands import PlacedHands, in_front


@dataclass(frozen=True)
class LifterTraining:
    """Duration, sizes, learning rate and keypoint noise of training.

    A run ends after `steps` or `max_minutes`, whichever comes first; by then the learning rate has been annealed.
    """

    steps: int = 20_000
    max_minutes: float | None = None
    batch_size: int = 128
    lr: float = 1e-3
    lr_warmup_steps: int = 200
    weight_decay: float = 0.01
    ema: float = 0.999
    width: int = 384
    blocks: int = 4
    seed: int = 0
    noise: DetectorNoise = field(default_factory=DetectorNoise)


def lifter_loss(
    hand: HandModel, lifted: PlacedHands, truth: KeypointBatch, aligned: float = 0.0
) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted loss terms: joints, rotation, pose, shape, reprojection and distance.

    `aligned` is the weight of another term, the joints after Procrustes, whose rotation and scale are treated as
    constants.
    """
    joints = hand.joints_of(lifted.parameters)
    true_joints = truth.joints_cam - truth.root_cam[:, None]
    relative = (joints - true_joints).norm(dim=-1).mean()
    R = turns.rotvec_to_rotmat(lifted.parameters.global_orient)
    R_true = turns.rotvec_to_rotmat(truth.parameters.global_orient)
    joints_cam = joints + lifted.root_cam[:, None]
    pixels, true_pixels = project(in_front(joints_cam, near_m=0.02), truth.K), project(truth.joints_cam, truth.K)
    half_px = (true_pixels.amax(dim=1) - true_pixels.amin(dim=1)).amax(dim=1) / 2
    reprojection = ((pixels - true_pixels).norm(dim=-1).mean(dim=1) / half_px).clamp_max(2).mean()
    distance = (lifted.root_cam[:, 2].clamp_min(1e-3).log() - truth.root_cam[:, 2].log()).abs().mean()
    return {
        "joints": 50 * relative,
        **({"aligned": aligned * _aligned(joints, true_joints)} if aligned else {}),
        "rotation": 0.3 * (R - R_true).square().sum(dim=(1, 2)).mean(),
        "pose": 0.5 * (lifted.parameters.pose - truth.parameters.pose).square().mean(),
        "shape": 0.02 * (lifted.parameters.shape - truth.parameters.shape).square().mean(),
        "reprojection": 1.0 * reprojection,
        "distance": 1.0 * distance,
    }


def _aligned(joints: Float[Tensor, "B 21 3"], true_joints: Float[Tensor, "B 21 3"]) -> Float[Tensor, ""]:
    with torch.no_grad():
        similarity = procrustes(joints, true_joints)
    return (similarity(joints) - true_joints).norm(dim=-1).mean()


def train_lifter(
    hand: HandModel,
    settings: LifterTraining = LifterTraining(),
    *,
    start: Lifter | None = None,
    on_step: OnStep[Lifter] = lambda step, terms, average: None,
) -> Lifter:
    """Train a lifter for `hand` on its own device; the result is the moving average of its weights.

    `start` is a lifter to continue from. `on_step` is called after every step with its number, the terms of the loss,
    and the average so far.
    """
    device = hand.faces.device
    generator = torch.Generator(device=device).manual_seed(settings.seed)
    torch.manual_seed(settings.seed)
    lifter = build_lifter(hand, width=settings.width, blocks=settings.blocks) if start is None else start
    lifter = lifter.to(device)
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = Schedule(settings.steps, settings.max_minutes, settings.lr_warmup_steps, settings.ema, most_gradient=1.0)

    def terms() -> dict[str, Float[Tensor, ""]]:
        with torch.no_grad():
            truth = sample_keypoints(hand, settings.batch_size, generator=generator, noise=settings.noise)
        return lifter_loss(hand, lifter(truth.keypoints_px, truth.confidence, truth.K), truth)

    return train_average(lifter, optimizer, terms, schedule, on_step)


@dataclass(frozen=True)
class LifterScore:
    """Mean errors of lifted hands: joints relative to joint 9, joints after Procrustes, and distance from the camera.

    Fields with `mm` in their name are in millimetres; `distance_share` is a fraction of the true distance.
    """

    joints_mm: float
    pa_joints_mm: float
    distance_share: float


def evaluate_lifter(
    hand: HandModel,
    lift: Callable[[Tensor, Tensor, Tensor], PlacedHands],
    *,
    hands: int = 2048,
    noise_share: float = 0.03,
    seed: int = 1_000_003,
) -> LifterScore:
    """Score ``lift(keypoints_px, confidence, K)`` on `hands` new hands with keypoint noise `noise_share`.

    The noise is normal, per axis, relative to the hand's size (the longer side of its box) in the image.
    """
    generator = torch.Generator(device=hand.faces.device).manual_seed(seed)
    exact = DetectorNoise(level=0.0, outlier_share=0.0, dropped_share=0.0, dropped_finger_share=0.0, swapped_share=0.0)
    with torch.no_grad():
        truth = sample_keypoints(hand, hands, generator=generator, noise=exact)
        points = truth.keypoints_px
        size_px = (points.amax(dim=1) - points.amin(dim=1)).amax(dim=1)[:, None, None]
        noise = torch.randn(points.shape, generator=generator, device=points.device)
        lifted = lift(points + noise_share * size_px * noise, torch.ones_like(points[..., 0]), truth.K)
        joints = hand.joints_of(lifted.parameters)
    true_joints = truth.joints_cam - truth.root_cam[:, None]
    distance = (lifted.root_cam[:, 2] / truth.root_cam[:, 2] - 1).abs()
    return LifterScore(
        joints_mm=1000 * float(mpjpe(joints, true_joints).mean()),
        pa_joints_mm=1000 * float(pa_mpjpe(joints, true_joints).mean()),
        distance_share=float(distance.mean()),
    )
