"""The state of a run in one file: weights, optimiser, moving average and position; written atomically.

The state of random generators is not saved: the order of samples and their augmentation are determined by (seed,
epoch), and randomness in the network by (seed, step).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hifihr_core.config.renamed import read_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.models.checkpoint import check_tensors
from hifihr_core.outside.json_text import parse_json
from hifihr_core.training.optimizer import MovingAverage
from hifihr_core.weight_files import read_facts, read_tensors, write_tensors

FORMAT = "hifihr-state"
FORMAT_VERSION = "1"
STATE_FILE = Path("checkpoints", "state.safetensors")

#: Settings that may change when a run is resumed: they affect duration and frequency, not what is learnt.
FREE_ON_RESUME = frozenset(
    {
        "train.epochs",
        "train.max_steps",
        "train.max_minutes",
        "train.validate_every",
        "train.save_every_steps",
        "train.pictures_every_steps",
        "train.log_every_steps",
        "train.nan_limit",
        "train.compile",
        "data.workers",
        "data.validation_limit",
    }
)


@dataclass
class Position:
    """The position of a run: the number of steps, the epoch, and the number of samples used in it (`start`); the
    seconds so far; the best validation loss, and the step of the last validation (-1 if there was none).
    """

    step: int = 0
    epoch: int = 0
    start: int = 0
    elapsed_s: float = 0.0
    best: float | None = None
    validated_step: int = -1


def save_state(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
    position: Position,
    settings: RunSettings,
) -> None:
    """Write the whole state atomically. Raises: DataError if it cannot be written; then the old file is unchanged."""
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average/{name}": value for name, value in average.state.items()}
    tensors |= {f"optimizer/{name}": value for name, value in _named_optimizer_state(optimizer)}
    facts = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "position": json.dumps(asdict(position)),
        "settings": settings.model_dump_json(),
        "moments": str(sum(name.startswith("optimizer/") for name in tensors)),
    }
    write_tensors(path, {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, facts)


def load_state(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
    settings: RunSettings,
) -> Position:
    """Load the state file of a run into its network, optimiser and moving average, and return the position.

    Raises: AssetError if the file is broken; ConfigError if a setting that affects what is learnt has changed.
    """
    facts = read_facts(path, format=FORMAT, version=FORMAT_VERSION)
    check_same_settings(_settings_of(path, facts), settings)
    position = _position_of(path, facts)
    tensors = read_tensors(path)
    check_tensors(path, _part(tensors, "network/"), network.state_dict())
    if average is not None:
        check_tensors(path, _part(tensors, "average/"), average.state)
    moments = _part(tensors, "optimizer/")
    _check_moments(path, moments, optimizer, facts.get("moments"))
    network.load_state_dict(_part(tensors, "network/"))
    if average is not None:
        device = {name: value.device for name, value in average.state.items()}
        average.state = {name: value.to(device[name]) for name, value in _part(tensors, "average/").items()}
    _fill_optimizer(optimizer, moments)
    return position


def _position_of(path: Path, facts: Mapping[str, str]) -> Position:
    """Return the position in the metadata of a state file. Raises: AssetError that names the first invalid number."""
    found = parse_json(facts.get("position", ""), f"{path}: its position", remedy="start a new run", error=AssetError)
    names = {field.name for field in fields(Position)}
    if not isinstance(found, dict) or not {"step", "epoch", "start"} <= found.keys() <= names:
        raise AssetError(f"{path}: its position is damaged, expected step, epoch and start; start a new run")
    for name, value in found.items():
        is_count = isinstance(value, int) and not isinstance(value, bool) and -1 <= value < 2**53
        is_length = isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
        counts = name in ("step", "epoch", "start", "validated_step")
        if not (is_count if counts else is_length or (name == "best" and value is None)):
            expected = "a whole number of at least -1" if counts else "a finite number"
            raise AssetError(
                f"{path}: its {name} is {str(value)[:40]}, expected {expected}; the file is damaged, so start a new run"
            )
    return Position(**found)


def _check_moments(
    path: Path, moments: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, written: str | None
) -> None:
    """Raise AssetError if moments of the optimiser are missing, unknown, of the wrong size or non-finite."""
    shapes = {name: parameter.shape for name, parameter in _named_parameters(optimizer)}
    kinds: dict[str, set[str]] = {}
    for key, value in moments.items():
        kind, _, name = key.partition("/")
        kinds.setdefault(name, set()).add(kind)
        fits = name in shapes and (kind == "step" or value.shape == shapes[name])
        if not fits or not value.isfinite().all():
            raise AssetError(
                f"{path}: the optimiser's {kind} of {name} is unknown, not finite or of the wrong size; start a new run"
            )
    incomplete = [name for name, found in kinds.items() if found != {"step", "exp_avg", "exp_avg_sq"}]
    if incomplete or (written is not None and written != str(len(moments))):
        what = f"of {incomplete[0]} " if incomplete else ""
        raise AssetError(f"{path}: optimiser moments {what}are missing; the file is damaged, so start a new run")


def saved_settings(path: Path) -> RunSettings:
    """Return the settings of the run that wrote a state file."""
    return _settings_of(path, read_facts(path, format=FORMAT, version=FORMAT_VERSION))


def _settings_of(path: Path, facts: Mapping[str, str]) -> RunSettings:
    try:
        return read_settings(facts.get("settings", ""))
    except ConfigError as error:
        raise AssetError(
            f"{path}: {error}; resume with the version of hifihr that wrote it, or start a new run"
        ) from error


def check_same_settings(saved: RunSettings, settings: RunSettings) -> None:
    """Check that a resumed run has the settings of the saved one, except those in `FREE_ON_RESUME`.

    Raises: ConfigError that names the first setting that must not change, but did.
    """
    then, now = flatten(saved.model_dump(mode="json")), flatten(settings.model_dump(mode="json"))
    for name in sorted(then.keys() | now.keys()):
        if name not in FREE_ON_RESUME and then.get(name) != now.get(name):
            raise ConfigError(
                f"{name}: this run was started with {json.dumps(then.get(name))}, found {json.dumps(now.get(name))}; "
                "resume with the old value, or start a new run with --init and another --out"
            )


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted names: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _named_parameters(optimizer: torch.optim.Optimizer) -> list[tuple[str, Tensor]]:
    return [pair for group in optimizer.param_groups for pair in zip(group["names"], group["params"], strict=True)]


def _named_optimizer_state(optimizer: torch.optim.Optimizer) -> list[tuple[str, Tensor]]:
    """Return pairs of a name, such as "exp_avg/WEIGHT", and a tensor; Adam's state consists only of tensors."""
    return [
        (f"{key}/{name}", value)
        for name, parameter in _named_parameters(optimizer)
        for key, value in optimizer.state[parameter].items()
    ]


def _fill_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    for name, parameter in _named_parameters(optimizer):
        own = {key.partition("/")[0]: v for key, v in tensors.items() if key.partition("/")[2] == name}
        # Adam keeps its step counts on the CPU, and its moments on the parameter's device.
        optimizer.state[parameter] = {
            key: value.clone() if key == "step" else value.to(parameter.device).clone() for key, value in own.items()
        }
