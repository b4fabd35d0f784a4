"""Build everything that a run needs before the first step; settings that contradict each other are rejected here."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hifihr_core.assets.store import asset_path, is_installed
from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import ConfigError
from hifihr_core.hands import HandModel
from hifihr_core.losses.evaluate import capabilities_of, hand_facts
from hifihr_core.losses.feature_trunk import PERCEPTUAL_ASSET, load_perceptual
from hifihr_core.losses.supervision import LEVELS, Plan, check_labels, plan_terms
from hifihr_core.losses.terms import HandFacts
from hifihr_core.models.checkpoint import START
from hifihr_core.models.contract import ImageNetwork
from hifihr_core.models.placing import build_renderer
from hifihr_core.models.table import network_row
from hifihr_core.rendering import Renderer
from hifihr_core.training.data import Batches, Data, open_data
from hifihr_core.training.distributed import World
from hifihr_core.training.network import as_learner, choose_hand, keep_start, start_network, synchronise_statistics
from hifihr_core.training.optimizer import MovingAverage, build_optimizer, choose_parts

#: The label with the true root, read if the render settings require it.
ROOT_LABEL = "joints_cam"


@dataclass
class Run:
    """What the training loop works with.

    `network` is the bare module; `learner` is what the loop calls: `network`, compiled or wrapped for several processes
    if requested. `start` is a frozen copy of the initial network, or None unless the priors are centred on its
    estimates. `notes` are lines for the user about the origin of the weights and about omitted terms; `started_from`
    names only the weights.
    """

    settings: RunSettings
    folder: Path
    world: World
    hand: HandModel
    network: ImageNetwork
    learner: nn.Module
    start: ImageNetwork | None
    renderer: Renderer | None
    perceptual: nn.Module | None
    facts: HandFacts
    plan: Plan
    batches: Batches
    validation: Batches | None
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    notes: tuple[str, ...]
    started_from: str


def set_up(settings: RunSettings, folder: Path, world: World, *, init: Path | None = None, blank: bool = False) -> Run:
    """Build everything that a run needs; `blank` skips the search for weights, since they come from a saved state.

    Raises: ConfigError, DataError or AssetError, before anything is trained.
    """
    torch.manual_seed(settings.train.seed)
    device, renders = world.device, settings.render.enabled
    data = open_data(settings.data, labels=readable_labels(settings))
    hand = choose_hand(settings.model, data.joint_definitions, synthetic=data.is_synthetic).to(device).eval()
    plan = make_plan(settings, hand, data)
    network, notes = start_network(settings, hand, init, blank=blank)
    network = synchronise_statistics(network.to(device), world)
    choose_parts(network, settings.train.parts, renders=renders)
    network = network.to(memory_format=torch.channels_last)
    perceptual = load_perceptual(asset_path(PERCEPTUAL_ASSET)).to(device) if "perceptual" in plan.terms else None
    seed, batch_size = settings.train.seed, settings.train.batch_size
    origin = "; ".join(notes)
    return Run(
        settings=settings,
        folder=folder,
        world=world,
        hand=hand,
        network=network,
        learner=as_learner(network, settings, world),
        start=start_of(settings, network, saved=folder / START if blank else None, is_trained=init is not None),
        renderer=build_renderer(hand, settings.render, settings.data.image_px).to(device) if renders else None,
        perceptual=perceptual,
        facts=hand_facts(hand),
        plan=plan,
        batches=data.training(hand, world, seed=seed, batch_size=batch_size),
        validation=data.validation(hand, world, batch_size=batch_size),
        optimizer=build_optimizer(network, settings.train),
        average=MovingAverage(network, settings.train.ema) if settings.train.ema else None,
        notes=(*notes, *left_out_notes(plan), *data.notes),
        started_from=origin.replace(str(init), init.name) if init else origin,
    )


def readable_labels(settings: RunSettings) -> frozenset[str]:
    """Return the labels that a run may read: those of its supervision level, and the root if hands are rendered at the
    true root.
    """
    given = {ROOT_LABEL} if settings.render.root == "given" else set()
    return LEVELS[settings.train.supervision].labels | given


def start_of(
    settings: RunSettings, network: ImageNetwork, *, saved: Path | None, is_trained: bool
) -> ImageNetwork | None:
    """Return the network whose estimates are the centre of a run's priors; None if the centre is the model's mean.

    It is a frozen copy of `network`, with the weights in the file `saved` if that is given. Raises: ConfigError if the
    network is not trained yet; AssetError if the file is missing or broken.
    """
    if settings.loss.priors == "mean":
        return None
    if saved is None and not is_trained:
        raise ConfigError(
            'loss.priors: "start" needs a trained network, but this run has random heads; give --init, or use "mean"'
        )
    return keep_start(network, saved)


def make_plan(settings: RunSettings, hand: HandModel, data: Data) -> Plan:
    """Choose the loss terms of a run and check that its data has the labels that they need.

    Raises: ConfigError or DataError that names the missing setting or label.
    """
    renders = settings.render.enabled
    if renders and not settings.model.texture:
        raise ConfigError("render.enabled: rendering needs model.texture=true; enable the texture or disable rendering")
    if settings.train.parts == "texture" and not renders:
        raise ConfigError("train.parts: training only the texture needs rendering; set render.enabled=true")
    capabilities = capabilities_of(
        hand,
        renders=renders,
        perceptual=renders and is_installed(PERCEPTUAL_ASSET),
        extra=network_row(settings.model).gives | ({"start"} if settings.loss.priors == "start" else set()),
    )
    plan = plan_terms(settings.train.supervision, capabilities, weights=settings.loss.weights)
    if not plan.terms:
        raise ConfigError(
            "loss.weights: all terms are omitted, so nothing would be learnt; give at least one term a positive weight"
        )
    check_labels(plan, data.labels(hand), extra=(ROOT_LABEL,) if settings.render.root == "given" else ())
    return plan


def left_out_notes(plan: Plan) -> list[str]:
    """Return one line for the user per reason why loss terms of the supervision level are omitted."""
    reasons: dict[str, list[str]] = {}
    for name, reason in plan.left_out:
        reasons.setdefault(reason, []).append(name)
    return [f"omitted loss terms: {', '.join(names)} ({reason})" for reason, names in reasons.items()]
