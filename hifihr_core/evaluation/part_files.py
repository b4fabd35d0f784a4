"""Store the results of one part of an evaluation in a file, and merge the files of all parts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hifihr_core.errors import DataError
from hifihr_core.evaluation.collect import Collected
from hifihr_core.machine.parts import Part, named_part
from hifihr_core.outside.json_text import parse_json
from hifihr_core.weight_files import read_facts, read_tensors, write_tensors

_FORMAT, _VERSION = "hifihr-evaluation-part", "1"
_POINTS = ("joints", "surface")
_ROWS = ("paper", "strict", "parameters")
_TRUTH, _LOOK = "truth.", "look."
_SUFFIX = ".safetensors"


def write_part(
    folder: Path, part: Part, collected: Collected, looks: Mapping[str, Tensor], origin: Mapping[str, Any]
) -> Path:
    """Write the results of one part of a run to a file in `folder`, and return its path.

    `looks` are the tensors of the `LookScorer`; `origin` is what must be equal in all parts. Raises: DataError if the
    file cannot be written.
    """
    found = {"origin": dict(origin), "keys": collected.keys} | {name: getattr(collected, name) for name in _ROWS}
    lists = {name: getattr(collected, name) for name in _POINTS}
    lists |= {_TRUTH + name: rows for name, rows in collected.truth.items()}
    tensors = {name: torch.from_numpy(np.concatenate(rows)).contiguous() for name, rows in lists.items() if rows}
    tensors |= {_LOOK + name: values.cpu() for name, values in looks.items()}
    path = folder / f"{part.name}{_SUFFIX}"
    write_tensors(path, tensors, {"format": _FORMAT, "format_version": _VERSION, "found": json.dumps(found)})
    return path


def read_parts(folder: Path, origin: Mapping[str, Any]) -> tuple[Collected, list[dict[str, Tensor]]]:
    """Return the results of all parts of a run in the order of an undivided run, and the tensors of looks of each part.

    Raises: DataError if a part is missing, or its checkpoint, dataset or settings differ from `origin`; AssetError if a
    file is damaged.
    """
    out, looks = Collected(), []
    for path in _find_parts(folder):
        found, tensors = _read(path)
        _check_origin(path, found["origin"], origin)
        out.keys += found["keys"]
        for name in _ROWS:
            getattr(out, name).extend(found[name])
        for name in (name for name in _POINTS if name in tensors):
            getattr(out, name).append(tensors[name].numpy())
        for name, values in _below(tensors, _TRUTH).items():
            out.truth.setdefault(name, []).append(values.numpy())
        looks.append(_below(tensors, _LOOK))
    if len(out.keys) != origin["samples"]:
        raise DataError(
            f"{folder}: the parts contain {len(out.keys):,} samples in all, expected {origin['samples']:,}; "
            "evaluate and merge all parts with the same options"
        )
    return out, looks


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: values for name, values in tensors.items() if name.startswith(prefix)}


def _find_parts(folder: Path) -> list[Path]:
    parts = {part for path in folder.glob(f"part-*{_SUFFIX}") if (part := named_part(path.stem)) is not None}
    totals = sorted({part.of for part in parts})
    if len(totals) != 1:
        found = f"parts {' and '.join(f'I/{total}' for total in totals)}" if totals else "no parts"
        raise DataError(f"{folder}: contains {found}, expected those of one run of `hifihr eval --part I/N`")
    missing = [f"{number}/{totals[0]}" for number in range(1, totals[0] + 1) if Part(number, totals[0]) not in parts]
    if missing:
        raise DataError(
            f"{folder}: missing parts: {', '.join(missing)}; run `hifihr eval --part I/{totals[0]}` for each of them"
        )
    return [folder / f"{Part(number, totals[0]).name}{_SUFFIX}" for number in range(1, totals[0] + 1)]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    remedy = "evaluate this part again with `hifihr eval --part`"
    facts = read_facts(path, format=_FORMAT, version=_VERSION)
    found, tensors = parse_json(facts.get("found", ""), path, remedy=remedy), read_tensors(path)
    if not _is_whole(found, tensors):
        raise DataError(f"{path}: not a complete part of an evaluation; {remedy}")
    return found, tensors


def _is_whole(found: Any, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the content of a file is complete and has the form that `write_part` gives it."""
    if not (isinstance(found, dict) and isinstance(found.get("origin"), dict)):
        return False
    lists = all(isinstance(found.get(name), list) for name in ("keys", *_ROWS))
    return lists and all(len(tensors.get(name, ())) == len(found["keys"]) for name in _POINTS)


def _check_origin(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    different = [name for name in expected if found.get(name) != expected[name]]
    if different:
        raise DataError(
            f"{path}: differs from this run ({', '.join(different)}); "
            "evaluate and merge all parts with the same options"
        )
