"""Convert annotation lists of any length from JSON to arrays on disk, one entry at a time.

FreiHAND's vertices are more than a gigabyte of text. They are parsed as a stream and written as float32 to a `.npy`
file, from which workers read only the rows they need; only a few entries are in memory at a time.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import write_text
from hifihr_core.outside.json_lists import Entry, iterate_entries
from hifihr_core.outside.json_numbers import parse_numbers
from hifihr_core.outside.json_text import read_json
from hifihr_core.sources.raw.raw_tree import RawFile
from hifihr_core.sources.raw.rows import Rows, write_rows

#: From this many numbers on, NumPy reads an entry faster than `json`.
_LONG = 40


@dataclass
class Column:
    """A list of annotations: row i is entry i, or NaN if something is wrong with it, which `faults` then describes."""

    rows: Rows
    faults: dict[int, str]

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a copy of entry `index`."""
        return self.rows[index]

    @property
    def values(self) -> np.ndarray:
        """Return all entries as a memory-mapped array."""
        return self.rows.mapped()


def stage_column(file: RawFile, target: Path, *, shape: tuple[int, ...]) -> Column:
    """Parse a JSON list whose entries are arrays of numbers and store it as `target`; a finished one is only opened.

    Every entry is reshaped to `shape`; one with a different number of values, or with anything but finite numbers, is
    NaN and described in `faults`. Values are rounded once, from float64 to float32. Raises: DataError if the text is
    not a JSON list, or is truncated or empty.
    """
    faults_path = target.with_suffix(".faults.json")
    if not (target.is_file() and faults_path.is_file()):
        write_text(faults_path, json.dumps(_convert(file, target, shape)))
    found = {
        int(index): reason
        for index, reason in read_json(faults_path, remedy=f"delete {target.parent} and run again").items()
    }
    return Column(Rows(target), found)


def _convert(file: RawFile, target: Path, shape: tuple[int, ...]) -> dict[int, str]:
    """Write every entry of the list as a row; return what is wrong with entries, by their indices."""
    faults, count = {}, 0
    with file.open() as stream, write_rows(target, shape) as append, np.errstate(over="ignore"):
        for entry in iterate_entries(stream, file.name, remedy="download it again"):
            values, fault = _to_array(entry, shape)
            if fault:
                faults[count] = fault
            append(values)
            count += 1
        if not count:
            raise DataError(f"{file.name}: an empty list, expected annotations; download it again")
    return faults


def _to_array(entry: Entry, shape: tuple[int, ...]) -> tuple[np.ndarray, str | None]:
    """Return (float32 values, None), or (NaN, what is wrong with the entry)."""
    values = _numbers(entry, shape)
    if values is None or values.size != math.prod(shape):
        found = "not a readable array of numbers" if values is None else _describe(values.shape)
        return np.full(shape, np.nan, np.float32), f"{found}, expected {_describe(shape)}"
    values = values.reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        return np.full(shape, np.nan, np.float32), "a value that is not a finite number"
    return values, None


def _describe(shape: tuple[int, ...]) -> str:
    return f"shape {shape}" if shape else "a single value"


def _numbers(entry: Entry, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the numbers of an entry, of any shape, or None if the entry is anything but an array of numbers."""
    if math.prod(shape) >= _LONG and (values := parse_numbers(entry.text, shape)) is not None:
        return values
    try:
        return np.asarray(entry.parse(), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
