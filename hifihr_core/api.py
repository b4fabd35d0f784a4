"""The public functions `predict`, `train` and `evaluate`.

Each does what the command of that name does (`hifihr eval` for `evaluate`), with the same defaults, except that
`predict` and `evaluate` write nothing, and `train` builds its network from the settings alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hifihr_core.config import find_config, load_settings
from hifihr_core.config.data_folders import raw_folder
from hifihr_core.config.tree import RunSettings
from hifihr_core.evaluation.checkpoint_job import RunOptions
from hifihr_core.evaluation.run import Evaluation, evaluate_files
from hifihr_core.evaluation.score_checkpoint import evaluate_checkpoint
from hifihr_core.exports.results import PhotoResult
from hifihr_core.machine.device import choose_device
from hifihr_core.prediction.predictor import Predictor, PredictSettings
from hifihr_core.training.loop import Summary, fit


def predict(photo: str | Path | np.ndarray, *, device: str = "auto", **settings: Any) -> PhotoResult:
    """Find and reconstruct every hand in a photo, given as a path or an upright RGB array (H, W, 3) of bytes.

    `settings` are fields of `PredictSettings`, such as ``refine=True``. The models are loaded on every call; for many
    photos, use one `Predictor`. Raises: DataError if the photo cannot be read; DeviceError if `device` is not
    available.
    """
    predictor = Predictor.load(settings=PredictSettings(**settings), device=choose_device(device))
    return predictor.predict(photo)


def train(
    folder: str | Path,
    *,
    supervision: str | None = None,
    data: str | Sequence[str] | None = None,
    config: str | None = None,
    settings: Mapping[str, object] | None = None,
    init: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
) -> Summary:
    """Train with rendering and write everything to `folder`, like `hifihr train --out FOLDER`.

    `supervision` is "full", "weak" or "self"; `data` names datasets or shard folders; `config` is a preset or a TOML
    file; `settings` maps dotted names to values, such as ``{"train.lr": 1e-4}``. `init` is a weight file or a run
    folder to start from; unlike the command, this function does not look for one itself. `resume` continues the run in
    `folder`. Raises: ConfigError for an unknown setting, DataError or AssetError if data or weights are missing.
    """
    folder = Path(folder)
    names = (data,) if isinstance(data, str) else data
    flags = {"train.supervision": supervision, "data.train": names and list(names), **(settings or {})}
    earlier = folder / "config.toml"
    resolved = load_settings(
        RunSettings,
        preset=earlier if resume and earlier.exists() else None,
        file=find_config(config) if config else None,
        flags=flags,
    )
    return fit(resolved, folder, init=None if init is None else Path(init), resume=resume, device=device)


def evaluate(
    dataset: str,
    *,
    checkpoint: str | Path | None = None,
    predictions: str | Path | None = None,
    ground_truth: str | Path | None = None,
    limit: int | None = None,
    device: str = "auto",
) -> Evaluation:
    """Score a checkpoint (default: the shipped network) or the file `predictions`, like `hifihr eval`.

    `dataset` is "freihand", "ho3d" or "synth". The ground truth comes from the files in the folder `ground_truth`; by
    default from the prepared shards, or for `predictions` from the raw files of the dataset. `limit` is the maximum
    number of samples. Nothing is written. Raises: DataError or AssetError if something is missing or broken.
    """
    truth = None if ground_truth is None else Path(ground_truth)
    if predictions is not None:
        return evaluate_files(Path(predictions), truth or raw_folder(dataset), dataset, limit=limit)
    options = RunOptions(limit=limit, device=choose_device(device))
    path = None if checkpoint is None else Path(checkpoint)
    return evaluate_checkpoint(path, dataset, ground_truth=truth, options=options)
