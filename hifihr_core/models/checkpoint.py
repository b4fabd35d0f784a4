"""Checkpoints: a weight file with the settings and facts that rebuild its network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from hifihr_core.config.tree import ModelSettings, RunSettings
from hifihr_core.errors import AssetError
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.models.build import build_reconstructor
from hifihr_core.models.reconstructor import Reconstructor
from hifihr_core.weight_files import FORMAT, FORMAT_VERSION, read_facts, read_tensors, write_tensors


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with its hand, in evaluation mode, and how it came about.

    `step` counts optimiser steps; `facts` is all metadata of the file, as text.
    """

    network: Reconstructor
    hand: HandModel
    settings: RunSettings
    step: int
    facts: Mapping[str, str]


def build_network(settings: ModelSettings, hand: HandModel, *, image_px: int, weights: str | Path) -> Reconstructor:
    """Return the untrained network that `settings` describe for this hand; see `build_reconstructor`."""
    return build_reconstructor(
        hand,
        backbone=settings.backbone,
        weights=weights,
        image_px=image_px,
        normalize=settings.normalize,
        drop_path=settings.drop_path,
        norm=settings.norm,
        rotation=settings.rotation,
        mean_shape=settings.mean_shape,
        texture=settings.texture,
        light=settings.light,
        relative_to_ray=settings.relative_to_ray,
        geometry=settings.geometry,
    )


def describe_weights(settings: RunSettings, hand: HandModel, *, step: int) -> dict[str, str]:
    """Return the metadata of a weight file."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "settings": settings.model_dump_json(),
        "hand": hand.name,
        "pose_basis": hand.pose_basis,
        "joints": hand.joint_definition,
        "hand_licence": hand.licence,
        "step": str(step),
    }


def save_weights(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, str], *, half: bool = False) -> None:
    """Write weights and facts atomically; `half` stores matrices and kernels of floating point in 16 bits.

    Vectors stay as they are: they take no room, and variances of batch normalisation overflow 16 bits. So do whole
    numbers, such as indices, which 16 bits would round.
    Raises: DataError where the disk refuses; the old file stays.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    if half:
        tensors = {
            name: value.half() if value.is_floating_point() and value.ndim > 1 else value
            for name, value in tensors.items()
        }
    write_tensors(path, tensors, facts)


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> Checkpoint:
    """Rebuild a network from its weight file. Raises: AssetError if the file is missing, foreign, broken or too new."""
    facts = read_facts(path)
    try:
        settings = RunSettings.model_validate_json(facts["settings"])
    except ValidationError as error:
        first = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise AssetError(f"{path}: its setting {first} is not known here; use the version that wrote it") from error
    options = json.loads(facts.get("hand_options", "{}"))
    hand = load_hand(facts["hand"], pose_basis=facts["pose_basis"], joints=facts["joints"], **options)  # type: ignore[arg-type]
    network = build_network(settings.model, hand, image_px=settings.data.image_px, weights="none")
    state = read_tensors(path)
    known = network.state_dict()
    wrong = sorted(known.keys() ^ state.keys()) + [n for n in known if n in state and known[n].shape != state[n].shape]
    if wrong:
        raise AssetError(f"{path}: tensor {wrong[0]} does not fit the network of its settings; the file is damaged")
    network.load_state_dict(state)
    return Checkpoint(network.to(device).eval(), hand.to(device).eval(), settings, int(facts["step"]), facts)
