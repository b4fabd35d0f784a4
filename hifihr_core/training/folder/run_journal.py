"""Files of the run folder: settings, environment, and metrics (as JSON lines and for TensorBoard)."""

import json
import platform
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from hifihr_core.config import save_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import ConfigError, DataError
from hifihr_core.files import describe_os_error, write_text
from hifihr_core.outside.json_text import finite_json, parse_json
from hifihr_core.outside.whole_files import read_text
from hifihr_core.training.distributed import World
from hifihr_core.training.state import STATE_FILE, check_same_settings, saved_settings

SETTINGS_FILE = Path("config.toml")
ENVIRONMENT_FILE = Path("env.json")
METRICS_FILE = Path("metrics.jsonl")
TENSORBOARD_FOLDER = Path("tensorboard")

#: Patterns of temporary files: ours (`write_atomically`) and those of safetensors.
LEFTOVER = re.compile(
    r"\.(state|newest|best|start|config|env|metrics|report|step_\d+)-\w+\.(safetensors|toml|json|jsonl|html|png)|\.tmp\w*"
)


def check_folder(folder: Path, settings: RunSettings, *, resume: bool) -> None:
    """Check, before anything is created, that a run may begin (or, with `resume`, continue) in a folder.

    Raises: ConfigError if a run may not begin because the folder already contains one; or if a run may not continue
    because the folder contains none, or one with other settings.
    """
    holds_run = (folder / SETTINGS_FILE).exists()
    if resume and not holds_run:
        raise ConfigError(
            f"{folder}: no run to resume, expected {SETTINGS_FILE} in it; leave out --resume to start a new run"
        )
    if holds_run and not resume:
        raise ConfigError(f"{folder}: already holds a run; continue it with --resume, or choose another --out")
    if resume and (folder / STATE_FILE).exists():
        check_same_settings(saved_settings(folder / STATE_FILE), settings)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a killed training run; the caller must hold the folder's lock."""
    for place in (folder, folder / "checkpoints", folder / "samples"):
        if place.is_dir():
            for path in place.iterdir():
                if path.is_file() and LEFTOVER.fullmatch(path.name):
                    path.unlink(missing_ok=True)


def describe_run(folder: Path, settings: RunSettings, world: World, *, started_from: str = "") -> None:
    """Write the settings and the environment to the run folder.

    The environment is appended to the list "lives", which has one entry for the start of the run and one for each time
    that it was resumed. Raises: DataError if a file cannot be written.
    """
    save_settings(settings, folder / SETTINGS_FILE)
    path = folder / ENVIRONMENT_FILE
    now = environment(world) | ({"started_from": started_from} if started_from else {})
    lives = [*_lives(path), now]
    write_text(path, json.dumps({"lives": lives}, indent=1) + "\n")


def first_start(folder: Path) -> str:
    """Return which weights the run in a folder started from, as recorded then; an empty string if unknown."""
    lives = [life for life in _lives(folder / ENVIRONMENT_FILE) if isinstance(life, dict)]
    return next((str(life["started_from"]) for life in lives if life.get("started_from")), "")


def _lives(path: Path) -> list[Any]:
    """Return the environments recorded when the run was started and resumed; empty if there is no valid file."""
    if not path.exists():
        return []
    try:
        found = parse_json(read_text(path), path)
    except DataError:
        return []
    if not isinstance(found, dict):
        return []
    lives = found.get("lives", [found])  # a run of an earlier version has a single life at the top level
    return lives if isinstance(lives, list) else []


def environment(world: World) -> dict[str, Any]:
    """Return what results may depend on besides the settings: packages, platform, device, threads and arguments."""
    on_cuda = world.device.type == "cuda"
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "packages": {name: version(name) for name in ("hifihr", "torch", "timm", "numpy", "numba")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processes": world.size,
        "device": torch.cuda.get_device_name(world.device) if on_cuda else world.device.type,
        "threads": torch.get_num_threads(),
        "arguments": sys.argv[1:],
    }


class Journal:
    """A context manager that appends to `metrics.jsonl` and to TensorBoard's files, if this process `is_writer`.

    Existing lines for steps after `from_step` are dropped, because a resumed run repeats those steps.
    """

    def __init__(self, folder: Path, *, from_step: int, is_writer: bool) -> None:
        self._folder, self._from_step, self._is_writer = folder, from_step, is_writer

    def __enter__(self) -> "Journal":
        """Open the files."""
        if self._is_writer:
            from torch.utils.tensorboard import SummaryWriter

            path = self._folder / METRICS_FILE
            write_text(path, "".join(keep_until(path, self._from_step)) if path.exists() else "")
            self._file = path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(self._folder / TENSORBOARD_FOLDER), purge_step=self._from_step + 1)
        return self

    def write(self, kind: str, step: int, **values: float) -> None:
        """Add one line of values; `kind` is "train" or "validation". Raises: DataError if it cannot be written."""
        if not self._is_writer:
            return
        try:
            self._file.write(json.dumps(finite_json({"kind": kind, "step": step} | values)) + "\n")
            self._file.flush()
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)
        except OSError as error:
            raise DataError(describe_os_error(error, self._folder / METRICS_FILE)) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        if self._is_writer:
            self._file.close()
            self._board.close()


def keep_until(path: Path, step: int) -> list[str]:
    """Return the lines of a journal up to and including a step; a line truncated by a crash is dropped."""
    return [line for line, row in _rows(path) if row["step"] <= step]


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a journal; damaged lines are skipped."""
    return [row for _, row in _rows(path)]


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in read_text(path).splitlines(keepends=True):
        try:
            row = parse_json(line, path)
        except DataError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield (line if line.endswith("\n") else line + "\n"), row
