"""Annotation lists of any length, from JSON text to arrays on disk, one entry at a time.

FreiHAND's vertices are more than a gigabyte of text. They are parsed as a stream (ijson) and written as float32 to a
`.npy` file, which every worker maps; memory stays at one block of entries.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import ijson
import numpy as np
from numpy.lib.format import open_memmap

from hifihr_core.data.raw import RawFile
from hifihr_core.errors import DataError
from hifihr_core.files import read_text, write_atomically, write_text

_BLOCK = 256


@dataclass
class Column:
    """One list of annotations: ``values[i]`` is entry i, NaN where `faults` says what is wrong with it."""

    values: np.ndarray
    faults: dict[int, str]

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.values)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return entry `index`, a float32 array in memory."""
        return np.array(self.values[index], np.float32)


def stage_column(file: RawFile, target: Path, *, shape: tuple[int, ...]) -> Column:
    """Parse a JSON list of number lists and keep it as `target`; a finished `target` is only opened.

    Every entry is reshaped to `shape`; one with another number of values, or with something else than numbers, becomes
    a fault. Values are rounded once, from float64 to float32.
    Raises: DataError if the text is no JSON list or breaks off.
    """
    faults_path = target.with_suffix(".faults.json")
    if not target.is_file():
        faults: dict[int, str] = {}
        raw = target.with_suffix(".raw")
        with write_atomically(raw) as part, part.open("wb") as out:
            count = _convert(file, out, shape, faults)
        write_text(faults_path, json.dumps(faults))
        _move_into_array(raw, target, (count, *shape))
    found = {int(index): reason for index, reason in json.loads(read_text(faults_path)).items()}
    return Column(_open(target), found)


def _open(path: Path) -> np.ndarray:
    """Map an array file; an empty one cannot be mapped and is read."""
    try:
        return np.load(path, mmap_mode="r")
    except ValueError:
        return np.load(path)


def _move_into_array(raw: Path, target: Path, shape: tuple[int, ...]) -> None:
    """Copy plain float32 values into a `.npy` file of known shape, block by block, and remove them."""
    with write_atomically(target) as part:
        if shape[0] == 0:
            np.save(part, np.zeros(shape, np.float32))
        else:
            source = np.memmap(raw, np.float32, "r", shape=shape)
            array = open_memmap(part, "w+", np.float32, shape)
            for start in range(0, shape[0], _BLOCK):
                array[start : start + _BLOCK] = source[start : start + _BLOCK]
            array.flush()
            del array, source
    raw.unlink()


def _convert(file: RawFile, out: BufferedIOBase, shape: tuple[int, ...], faults: dict[int, str]) -> int:
    """Write every entry of the list as float32 and return how many there are."""
    count = 0
    with file.open() as stream:
        for count, entry in enumerate(_entries(stream, file.name), start=1):
            values, fault = _to_array(entry, shape)
            if fault:
                faults[count - 1] = fault
            out.write(values.tobytes())
    return count


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
