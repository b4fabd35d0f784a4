"""Annotation lists of any length, from JSON text to arrays on disk, one entry at a time.

FreiHAND's vertices are more than a gigabyte of text. They are parsed as a stream (ijson) and written as float32 to a
`.npy` file, of which a worker reads the rows that it needs; memory stays at one entry.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import ijson
import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import read_text, write_text
from hifihr_core.sources.raw.raw_tree import RawFile
from hifihr_core.sources.raw.rows import Rows, write_rows


@dataclass
class Column:
    """One list of annotations: row i is entry i, NaN where `faults` says what is wrong with it."""

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
        """Return all entries as an array over the mapped file."""
        return self.rows.mapped()


def stage_column(file: RawFile, target: Path, *, shape: tuple[int, ...]) -> Column:
    """Parse a JSON list of number lists and keep it as `target`; a finished `target` is only opened.

    Every entry is reshaped to `shape`; one with another number of values, or with something else than numbers, becomes
    a fault. Values are rounded once, from float64 to float32.
    Raises: DataError if the text is no JSON list or breaks off.
    """
    faults_path = target.with_suffix(".faults.json")
    if not (target.is_file() and faults_path.is_file()):
        write_text(faults_path, json.dumps(_convert(file, target, shape)))
    found = {int(index): reason for index, reason in json.loads(read_text(faults_path)).items()}
    return Column(Rows(target), found)


def _convert(file: RawFile, target: Path, shape: tuple[int, ...]) -> dict[int, str]:
    """Write every entry of the list as a row and return what is wrong with which."""
    faults = {}
    with file.open() as stream, write_rows(target, shape) as append:
        for number, entry in enumerate(_entries(stream, file.name)):
            values, fault = _to_array(entry, shape)
            if fault:
                faults[number] = fault
            append(values)
    return faults


def _entries(stream: BufferedIOBase, name: str) -> Iterator[Any]:
    """Yield the entries of a top-level JSON list. Raises: DataError where the text stops being one."""
    count = 0
    try:
        for entry in ijson.items(_NanAsNull(stream), "item", use_float=True):
            yield entry
            count += 1
    except ijson.JSONError as error:
        reason = str(error).split("\n")[0].strip()
        raise DataError(
            f"{name}: no whole JSON list, it breaks off after {count} entries ({reason}); download it again"
        ) from error
    if count == 0:
        raise DataError(f"{name}: no JSON list of entries; download it again")


class _NanAsNull:
    """A stream with Python's `NaN` spelled `null`, so that one bad number is one fault and not the end of the file."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._held = b""

    def read(self, size: int = 1 << 16) -> bytes:
        """Return the next block, at least one byte unless the stream is over."""
        if size == 0:
            return b""
        block = self._stream.read(max(size, 1 << 16))
        text = (self._held + block).replace(b"NaN", b"null")
        # What may be the beginning of another NaN waits for the next block.
        keep = next((n for n in (2, 1) if block and text.endswith(b"NaN"[:n])), 0)
        text, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return text if text or not block else self.read(size)


def _to_array(entry: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, str | None]:
    """Return (float32 values, None), or (NaN, what is wrong)."""
    try:
        values = np.asarray(entry, dtype=np.float64)
    except (TypeError, ValueError):
        values = None
    if values is None or values.size != int(np.prod(shape)):
        found = "no numbers" if values is None else f"shape {values.shape}"
        return np.full(shape, np.nan, np.float32), f"{found}, expected {shape}"
    with np.errstate(over="ignore"):
        values = values.reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        return np.full(shape, np.nan, np.float32), "a number that is not finite"
    return values, None
