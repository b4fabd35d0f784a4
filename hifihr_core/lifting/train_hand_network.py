"""Train the hand network on feature maps of the eyes' first blocks, from rendered hands and photos."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel
from hifihr_core.lifting.averaged_training import OnStep, Schedule, train_average
from hifihr_core.lifting.evidence import Evidence
from hifihr_core.lifting.hand_network import HandNetwork
from hifihr_core.lifting.noisy_keypoints import DetectorNoise, KeypointBatch, sample_keypoints
from hifihr_core.lifting.seen_batch import SeenHands, SeenPhotos
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.lifting.train_lifter import lifter_loss
from hifihr_core.placed_hands import PlacedHands, in_front

#: Joints in photos with an error below this fraction of the hand's size count as correct: the eyes err more.
_ALIKE = 0.01


@dataclass(frozen=True)
class HandTraining:
    """Duration, batch sizes, learning rates and loss weights of training.

    A run ends after `steps` or `max_minutes`, whichever comes first; by then the learning rates have been annealed.

    Each step uses `rendered` rendered hands, `photos` hands in photos, and `clean` sets of keypoints without a picture.
    `aligned` is the weight of the joints after Procrustes, `joints` that of the blocks' own joints, and `lifted` that
    of the lifted joints in photos. With ``last_blocks=False``, only the lifter is trained.
    """

    steps: int = 100_000
    max_minutes: float | None = None
    rendered: int = 48
    photos: int = 0
    clean: int = 16
    lr: float = 5e-4
    blocks_lr: float = 3e-4
    warmup_steps: int = 50
    weight_decay: float = 0.02
    ema: float = 0.995
    aligned: float = 100.0
    joints: float = 20.0
    lifted: float = 10.0
    last_blocks: bool = True
    seed: int = 0


def look_with(
    network: HandNetwork, seen: SeenHands, which: Tensor, view: Tensor | int = 0
) -> tuple[KeypointBatch, Evidence]:
    """Return the ground truth of the hands `which`, and the evidence beyond their keypoints, from crop `view`."""
    second_px, features = network.see(_map(seen.body[which, view]), seen.T_crop_photo[which, view])
    evidence = Evidence(
        spread_px=seen.spread_px(which),
        depth_px=seen.depth_px[which],
        metres=seen.metres[which],
        features=features,
        second_px=second_px,
    )
    return seen.truth(which), evidence


def lift_with(
    network: HandNetwork, seen: SeenHands, which: Tensor, view: Tensor | int = 0
) -> tuple[PlacedHands, KeypointBatch, Evidence]:
    """Return the hands `which` as the network lifts them, their ground truth, and the evidence, from crop `view`."""
    truth, evidence = look_with(network, seen, which, view)
    return network.lifter(truth.keypoints_px, truth.confidence, truth.K, evidence=evidence), truth, evidence


def train_hand_network(
    hand: HandModel,
    network: HandNetwork,
    seen: SeenHands,
    settings: HandTraining = HandTraining(),
    *,
    photos: SeenPhotos | None = None,
    on_step: OnStep[HandNetwork] = lambda step, terms, average: None,
) -> HandNetwork:
    """Train `network` in place on the CPU; the result is the moving average of its weights, in evaluation mode.

    `on_step` is called after every step with its number, the terms of the loss, and the average so far.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    torch.manual_seed(settings.seed)
    network = network.to(memory_format=torch.channels_last)
    schedule = Schedule(settings.steps, settings.max_minutes, settings.warmup_steps, settings.ema, most_gradient=5.0)

    def terms() -> dict[str, Float[Tensor, ""]]:
        return _terms(hand, network, seen, photos, settings, generator)

    return train_average(network, _optimizer(network, settings), terms, schedule, on_step)


def _optimizer(network: HandNetwork, settings: HandTraining) -> torch.optim.Optimizer:
    lifter = list(network.lifter.parameters())
    blocks = [one for part in (network.blocks, network.top, network.joints) for one in part.parameters()]
    if not settings.last_blocks:
        for one in blocks:
            one.requires_grad_(False)
    groups = [{"params": lifter, "lr": settings.lr}]
    groups += [{"params": blocks, "lr": settings.blocks_lr}] if settings.last_blocks else []
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)


def _terms(
    hand: HandModel,
    network: HandNetwork,
    seen: SeenHands,
    photos: SeenPhotos | None,
    settings: HandTraining,
    generator: torch.Generator,
) -> dict[str, Float[Tensor, ""]]:
    which = torch.randint(len(seen), (settings.rendered,), generator=generator)
    view = torch.randint(seen.body.shape[1], (settings.rendered,), generator=generator)
    lifted, truth, evidence = lift_with(network, seen, which, view)
    terms = {f"seen_{name}": value for name, value in lifter_loss(hand, lifted, truth, settings.aligned).items()}
    true_px = seen.joints_px(which)
    error = (evidence.second_px - true_px).norm(dim=-1) / _size_px(true_px)
    terms["seen_blocks"] = settings.joints * error.mean()
    if photos is not None and settings.photos:
        some = torch.randint(len(photos), (settings.photos,), generator=generator)
        terms |= _photo_terms(hand, network, photos, some, settings)
    if settings.clean:
        clean = sample_keypoints(hand, settings.clean, generator=generator, noise=DetectorNoise())
        loss = lifter_loss(hand, network.lifter(clean.keypoints_px, clean.confidence, clean.K), clean)
        terms["clean"] = 0.5 * torch.stack(list(loss.values())).sum()
    return terms


def _photo_terms(
    hand: HandModel, network: HandNetwork, photos: SeenPhotos, which: Tensor, settings: HandTraining
) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted distances of the blocks' own joints, and of the lifted ones, from the eyes' joints.

    They are compared in the eyes' definition.
    """
    second_px, features = network.see(_map(photos.body[which]), photos.T_crop_photo[which])
    points, K = photos.joints_px[which], photos.K[which]
    evidence = Evidence(
        spread_px=photos.spread_px[which],
        depth_px=photos.depth_px[which],
        metres=photos.metres[which],
        features=features,
        second_px=second_px,
    )
    lifted = network.lifter(points, torch.ones_like(points[..., 0]), K, evidence=evidence)
    lifted_cam = as_seen(hand.joints_of(lifted.parameters), hand.joint_definition) + lifted.root_cam[:, None]
    lifted_px = project(in_front(lifted_cam), K)
    weight, size_px = photos.weight[which], _size_px(points)
    share = settings.photos / settings.rendered

    def error(found_px: Tensor) -> Float[Tensor, ""]:
        apart = ((found_px - points).norm(dim=-1) / size_px - _ALIKE).clamp_min(0.0)
        return (weight * apart).sum() / weight.sum().clamp_min(1e-6)

    return {
        "photo_blocks": settings.joints * share * error(as_seen(second_px, hand.joint_definition)),
        "photo_lifted": settings.lifted * share * error(lifted_px),
    }


def _size_px(points_px: Float[Tensor, "B 21 2"]) -> Float[Tensor, "B 1"]:
    return (points_px.amax(dim=1) - points_px.amin(dim=1)).amax(dim=1, keepdim=True).clamp_min(1.0)


def _map(body: Tensor) -> Float[Tensor, "B C h w"]:
    return body.float().contiguous(memory_format=torch.channels_last)
