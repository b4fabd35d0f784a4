"""Training the hand network on what the eyes' first blocks saw of rendered hands and of photos."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.eyes.networks import LANDMARK_PX
from hifihr_core.hands import HandModel
from hifihr_core.lifting.evidence import Evidence
from hifihr_core.lifting.hand_network import HandNetwork
from hifihr_core.lifting.noisy_keypoints import DetectorNoise, KeypointBatch, sample_keypoints
from hifihr_core.lifting.seen_batch import SeenHands, SeenPhotos
from hifihr_core.lifting.train_lifter import lifter_loss
from hifihr_core.placed_hands import PlacedHands


@dataclass(frozen=True)
class HandTraining:
    """How long, how large and how much of what; a run ends annealed after `steps` or `max_minutes`.

    Each step sees `rendered` hands, `photos` hands and `clean` keypoints without any picture. `aligned` weighs the
    joints after Procrustes, `joints` those of the blocks themselves; `last_blocks` False leaves the eyes as they are.
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
    last_blocks: bool = True
    seed: int = 0


def look_with(network: HandNetwork, seen: SeenHands, which: Tensor) -> tuple[KeypointBatch, Evidence]:
    """Return some hands and what is known of each beside its keypoints."""
    second_px, features = network.see(_body(seen.body, which), seen.T_crop_photo[which])
    evidence = Evidence(
        spread_px=seen.spread_px(which),
        depth_px=seen.depth_px[which],
        metres=seen.metres[which],
        features=features,
        second_px=second_px,
    )
    return seen.truth(which), evidence


def lift_with(network: HandNetwork, seen: SeenHands, which: Tensor) -> tuple[PlacedHands, KeypointBatch, Evidence]:
    """Return some hands as the network lifts them, their truth and their evidence."""
    truth, evidence = look_with(network, seen, which)
    return network.lifter(truth.keypoints_px, truth.confidence, truth.K, evidence=evidence), truth, evidence


def train_hand_network(
    hand: HandModel,
    network: HandNetwork,
    seen: SeenHands,
    settings: HandTraining = HandTraining(),
    *,
    photos: SeenPhotos | None = None,
    on_step: Callable[[int, dict[str, float], HandNetwork], None] = lambda step, terms, average: None,
) -> HandNetwork:
    """Train `network` in place on the CPU; the result is the moving average of its weights, in evaluation mode.

    `on_step` is called after every step with its number, the terms of the loss, and the average so far.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    torch.manual_seed(settings.seed)
    network = network.to(memory_format=torch.channels_last).train()
    trained = copy.deepcopy(network).eval()
    optimizer = _optimizer(network, settings)
    bases = [group["lr"] for group in optimizer.param_groups]
    began = time.monotonic()
    for step in range(settings.steps):
        done = _share_done(settings, step, time.monotonic() - began)
        if done >= 1:
            break
        for group, lr in zip(optimizer.param_groups, bases, strict=True):
            group["lr"] = lr * min(1.0, (step + 1) / settings.warmup_steps) * (0.5 + 0.5 * math.cos(math.pi * done))
        terms = _terms(hand, network, seen, photos, settings, generator)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        _average(trained, network, share=min(settings.ema, (1 + step) / (10 + step)))
        on_step(step, {name: value.item() for name, value in terms.items()}, trained)
    return trained


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
    lifted, truth, evidence = lift_with(network, seen, which)
    terms = {f"seen_{name}": value for name, value in lifter_loss(hand, lifted, truth, settings.aligned).items()}
    scale = torch.linalg.det(seen.T_crop_photo[which][:, :2, :2]).abs().sqrt()
    error = (evidence.second_px - seen.joints_px(which)).norm(dim=-1) * scale[:, None] / LANDMARK_PX
    terms["seen_blocks"] = settings.joints * error.mean()
    if photos is not None and settings.photos:
        terms["photo_blocks"] = (
            settings.joints
            * settings.photos
            / settings.rendered
            * _photo_error(network, photos, torch.randint(len(photos), (settings.photos,), generator=generator))
        )
    if settings.clean:
        clean = sample_keypoints(hand, settings.clean, generator=generator, noise=DetectorNoise())
        loss = lifter_loss(hand, network.lifter(clean.keypoints_px, clean.confidence, clean.K), clean)
        terms["clean"] = 0.5 * torch.stack(list(loss.values())).sum()
    return terms


def _photo_error(network: HandNetwork, photos: SeenPhotos, which: Tensor) -> Float[Tensor, ""]:
    identity = torch.eye(3).expand(len(which), 3, 3)
    found, _ = network.see(_body(photos.body, which), identity)
    error = (found - photos.joints_px[which]).norm(dim=-1) / LANDMARK_PX
    weight = photos.weight[which]
    return (weight * error).sum() / weight.sum().clamp_min(1e-6)


def _body(body: Tensor, which: Tensor) -> Float[Tensor, "B C h w"]:
    return body[which].float().contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _average(into: HandNetwork, new: HandNetwork, *, share: float) -> None:
    for kept, weight in zip(into.parameters(), new.parameters(), strict=True):
        kept.lerp_(weight, 1 - share)


def _share_done(settings: HandTraining, step: int, seconds: float) -> float:
    by_steps = step / settings.steps
    return by_steps if settings.max_minutes is None else max(by_steps, seconds / 60 / settings.max_minutes)
