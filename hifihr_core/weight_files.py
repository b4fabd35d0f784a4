"""Weight files: safetensors, which contain no code, with metadata as text."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hifihr_core.errors import AssetError
from hifihr_core.files import describe_os_error, write_atomically

FORMAT = "hifihr-weights"
FORMAT_VERSION = "1"

#: Metadata that every weight file contains as text.
FIELDS = ("settings", "hand", "pose_basis", "joints", "step")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write a safetensors file atomically. Raises: DataError if it cannot be written; the old file is kept."""
    with write_atomically(path) as part:
        try:
            save_file(dict(tensors), part, metadata=dict(facts))
        except SafetensorError as error:
            raise as_os_error(error, path) from error


def as_os_error(error: SafetensorError, path: Path) -> OSError:
    """Return the operating-system error that safetensors reports only in its text ("... (os error 28)")."""
    text = str(error)
    _, found, number = text.rpartition("os error ")
    digits = "".join(character for character in number if character.isdigit())
    return OSError(int(digits), text, str(path)) if found and digits else OSError(None, text, str(path))


def read_facts(path: Path, *, format: str = FORMAT, version: str = FORMAT_VERSION) -> dict[str, str]:
    """Return the metadata of a weight file.

    Raises: AssetError if the file is missing or broken, or does not have this format and version.
    """
    with _open(path) as file:
        facts: dict[str, str] = file.metadata() or {}
    if facts.get("format") != format:
        found = f"format {facts['format']!r}" if "format" in facts else "a safetensors file from another program"
        raise AssetError(f"{path}: {found}, expected {format}; give another file")
    if facts.get("format_version") != version:
        raise AssetError(
            f"{path}: {format} version {facts.get('format_version', '(none)')}, expected {version}; "
            "use the version of hifihr that wrote it"
        )
    if format == FORMAT and (missing := [name for name in FIELDS if name not in facts]):
        raise AssetError(f"{path}: its metadata lacks {missing[0]!r}; the file is damaged, so get it again")
    return facts


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; 16-bit floats become float32."""
    with _open(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return {name: value.float() if value.dtype == torch.float16 else value for name, value in tensors.items()}


def _open(path: Path) -> Any:
    if not path.is_file():
        raise AssetError(f"{path}: no such file, expected a weight file (.safetensors); check the path")
    try:
        return safe_open(path, framework="pt")
    except OSError as error:
        raise AssetError(describe_os_error(error, path)) from error
    except SafetensorError as error:
        reason = json.dumps(str(error))
        raise AssetError(f"{path}: not a complete safetensors file ({reason}); get it again") from error
