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
    """Load the hand model of a run.

    "auto" is anny for data that is rendered on the fly (`synthetic`), and otherwise the most detailed installed model.
    By default, joints are defined as in the first training dataset.

    Raises: AssetError if the named hand is not installed; ConfigError for an unknown hand, for an invalid texture size,
    or for any texture size if the hand has no texture map.
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
    """Return the name of the most detailed hand model that is installed; "anny" always is."""
    hands = hands_table.HANDS
    there = [name for name, row in hands.items() if row.rank >= 0 and (row.asset is None or is_installed(row.asset))]
    return max(there, key=lambda name: hands[name].rank)


def start_network(
    settings: RunSettings, hand: HandModel, init: Path | None, *, blank: bool = False
) -> tuple[ImageNetwork, list[str]]:
    """Return the initial network of a run, and notes for the user on the origin of its weights.

    The weights are those in `init`, a weight file or run folder; without it, those for backbone and lifter that the
    settings name. With `blank`, all weights are random, for a caller that loads the saved state of a run next.

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
    """Load weights into the lifter of a new network, and return a note on their origin for the user.

    `source` is the path of a lifter's file, "shipped" (random if the shipped lifter is for another hand), or "none" for
    random weights. Raises: AssetError if the file is missing or belongs to another hand.
    """
    shipped = shipped_model(LIFTER)
    if source == "none" or (source == "shipped" and (shipped is None or not fits_hand(shipped, hand))):
        return "random weights"
    path = shipped if source == "shipped" and shipped is not None else Path(source)
    lifter.load_state_dict(load_lifter(path, hand).state_dict())
    return "the shipped one" if source == "shipped" else str(path)


def load_start(network: ImageNetwork, hand: HandModel, path: Path) -> str:
    """Load a weight file, or the best one in a run folder, into a new network, and return a note about it for the user.

    The heads for texture, shape and light may be missing from the file; then they keep their random weights. Raises:
    AssetError if hifihr did not write the file; ConfigError if it belongs to another hand or another network.
    """
    path = find_checkpoint(path)
    facts = read_facts(path)
    state, known = read_tensors(path), network.state_dict()
    if facts["hand"] != hand.name or facts["pose_basis"] != hand.pose_basis:
        remedy = f"use the same hand with --set model.hand={facts['hand']}"
        raise ConfigError(
            f"{path}: trained with the hand {facts['hand']} ({facts['pose_basis']}), but this run uses {hand.name} "
            f"({hand.pose_basis}); {remedy if facts['hand'] != hand.name else 'start from other weights'}"
        )
    fitting = {name: value for name, value in state.items() if name in known and known[name].shape == value.shape}
    missing = [name for name in known if name not in fitting]
    part_of = network.part_of()
    if strange := [name for name in missing if part_of.get(name) not in LATE]:
        raise ConfigError(
            f"{path}: the weight {strange[0]} is missing or has a different shape than in this network; "
            "use the [model] settings that the file was trained with"
        )
    network.load_state_dict(known | fitting)
    fresh = sorted({part_of[name] for name in missing})
    return f"{path}" + (f", with fresh heads for {', '.join(fresh)}" if fresh else "")


def keep_start(network: ImageNetwork, saved: Path | None) -> ImageNetwork:
    """Return a frozen copy of a network, with its current weights or with those in the file `saved`.

    Raises: AssetError if the file is broken or does not match the network.
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
    """Return the network with batch statistics over the samples of all processes, instead of those of each process.

    torch supports this only on CUDA; elsewhere the network is returned unchanged.
    """
    if world.size == 1 or world.device.type != "cuda":
        return network
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)
