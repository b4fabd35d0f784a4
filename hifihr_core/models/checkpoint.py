"""Checkpoints: weight files with the settings and facts from which their network is rebuilt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from hifihr_core.config.renamed import read_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.hands import HandModel, JointDefinition, load_hand
from hifihr_core.lookup import lookup
from hifihr_core.models.contract import ImageNetwork
from hifihr_core.models.shipped import IMAGE_NETWORK, shipped_model
from hifihr_core.models.table import build_network
from hifihr_core.outside.json_text import parse_json
from hifihr_core.weight_files import FORMAT, FORMAT_VERSION, read_facts, read_tensors, write_tensors

#: Weight files in a run folder, in order of preference.
NEWEST, BEST = Path("checkpoints", "newest.safetensors"), Path("checkpoints", "best.safetensors")
#: The initial weights of a run, if a loss term compares with them.
START = Path("checkpoints", "start.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A trained network in evaluation mode, with its hand and its history.

    `step` counts optimiser steps; `facts` is all metadata of the file, as text; `hand_options` are the further
    arguments of `load_hand`.
    """

    network: ImageNetwork
    hand: HandModel
    settings: RunSettings
    step: int
    facts: Mapping[str, str]
    hand_options: Mapping[str, Any] = field(default_factory=dict)

    def hand_with(self, joints: JointDefinition) -> HandModel:
        """Return the same hand, with the same options and device, but with the joint definition `joints`."""
        if self.hand.joint_definition == joints:
            return self.hand
        hand = load_hand(self.hand.name, pose_basis=self.hand.pose_basis, joints=joints, **self.hand_options)
        return hand.to(self.hand.faces.device).eval()


def find_checkpoint(path: Path | None) -> Path:
    """Return the weight file: `path` itself, the best or else newest one in the run folder `path`, or the shipped one.

    Raises: AssetError if there is none.
    """
    if path is None:
        shipped = shipped_model(IMAGE_NETWORK)
        if shipped is None:
            raise AssetError(
                "this installation lacks its trained model; reinstall hifihr, or give the weights of a run"
            )
        return shipped
    if not path.is_dir():
        return path
    places = [path / name for name in (BEST, NEWEST, BEST.name, NEWEST.name)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise AssetError(
            f"{path}: has no {BEST} or {NEWEST.name}, expected a weight file, or the folder of a run that has saved one"
        )
    return found


def describe_weights(settings: RunSettings, hand: HandModel, *, step: int, started_from: str = "") -> dict[str, str]:
    """Return the metadata of a weight file; `started_from` names the weights from which its training started."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "settings": settings.model_dump_json(),
        "hand": hand.name,
        "pose_basis": hand.pose_basis,
        "joints": hand.joint_definition,
        "hand_licence": hand.licence,
        "step": str(step),
    } | ({"started_from": started_from} if started_from else {})


def save_weights(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, str], *, half: bool = False) -> None:
    """Write weights and facts atomically; `half` stores floating-point matrices and kernels in 16 bits.

    Vectors keep 32 bits: they are small, and batch-normalisation variances would overflow. So do integers, such as
    indices, which 16-bit floats would round.
    Raises: DataError if it cannot be written; the old file is kept.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    if half:
        tensors = {
            name: value.half() if value.is_floating_point() and value.ndim > 1 else value
            for name, value in tensors.items()
        }
    write_tensors(path, tensors, facts)


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> Checkpoint:
    """Rebuild a network from its weight file, or from the best one in a run folder.

    The hand is loaded with its full texture map, even if the run used a smaller `model.texture_px` to save time.
    Raises: AssetError if the file is missing, damaged, not one of hifihr's or from a newer version, or has
    non-finite weights.
    """
    path = find_checkpoint(Path(path))
    facts, state = read_facts(path), read_tensors(path)
    settings, options = _settings_of(path, facts, state), _hand_options(path, facts)
    for name in ("hand", "pose_basis"):
        _check_word(path, name, facts[name])
    lookup(
        dict.fromkeys(get_args(JointDefinition)),
        facts["joints"],
        f"{path}: joints",
        error=AssetError,
        remedy="get the file again",
    )
    try:
        hand = load_hand(facts["hand"], pose_basis=facts["pose_basis"], joints=facts["joints"], **options)  # type: ignore[arg-type]
        network = build_network(settings.model, hand, image_px=settings.data.image_px, weights="none")
    except (ValueError, TypeError, ConfigError) as error:
        raise AssetError(
            f"{path}: {error}; the file's metadata are damaged, or a newer version of hifihr wrote it"
        ) from error
    check_tensors(path, state, network.state_dict())
    network.load_state_dict(state)
    step = _step_of(path, facts)
    return Checkpoint(network.to(device).eval(), hand.to(device).eval(), settings, step, facts, options)


def check_tensors(path: Path, state: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> None:
    """Raise AssetError for the first tensor that is missing, unknown, of the wrong size or type, or non-finite."""
    wrong = sorted(known.keys() ^ state.keys())
    wrong += [
        name
        for name, value in known.items()
        if name in state
        and (value.shape != state[name].shape or value.is_floating_point() != state[name].is_floating_point())
    ]
    if wrong:
        raise AssetError(
            f"{path}: tensor {wrong[0]} does not fit the network described by the file's settings; get the file again"
        )
    if bad := next((name for name, value in state.items() if not value.isfinite().all()), None):
        raise AssetError(f"{path}: tensor {bad} contains NaN or infinity; training diverged, or the file is damaged")


def _settings_of(path: Path, facts: Mapping[str, str], state: Mapping[str, Tensor]) -> RunSettings:
    """Return the settings of a weight file from this or an earlier version."""
    try:
        settings = read_settings(facts["settings"])
    except ConfigError as error:
        raise AssetError(
            f"{path}: {error}; get the file again, or load it with the version of hifihr that wrote it"
        ) from error
    light = state.get("light.linear.2.bias")
    if light is not None and len(light) == 6:  # the authors' files, if converted before `model.ambient` existed
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"ambient": False})})
    return settings


def _hand_options(path: Path, facts: Mapping[str, str]) -> dict[str, Any]:
    text = facts.get("hand_options", "{}")
    options = parse_json(text, f"{path}: hand_options", remedy="get the file again", error=AssetError)
    if isinstance(options, dict) and (wrong := [n for n, v in options.items() if not isinstance(v, int)]):
        raise AssetError(f"{path}: its hand option {wrong[0][:40]} is not a whole number or flag; get the file again")
    if not isinstance(options, dict):
        raise AssetError(f"{path}: its hand_options are {text[:40]!r}, expected a JSON object; get the file again")
    return options


def _check_word(path: Path, name: str, text: str) -> None:
    if not text.isidentifier() or len(text) > 100:
        raise AssetError(f"{path}: its {name} is {text[:40]!r}, expected a name; get the file again")


def _step_of(path: Path, facts: Mapping[str, str]) -> int:
    text = facts["step"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise AssetError(f"{path}: its step is {text[:40]!r}, expected a whole number; get the file again")
    return int(text)
