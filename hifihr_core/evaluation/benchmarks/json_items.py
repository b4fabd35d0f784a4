"""Reading point lists from large JSON files: one sample at a time, in bounded memory, every digit as `json` reads it.

A ground-truth file is a list of samples, a prediction file a list of such lists; a sample is a list of [x, y, z]. The
brackets of each block of bytes are counted in one vectorised sweep, which finds where samples begin and end; each
sample is then parsed by the standard library. HO-3D v3's predictions (1 GB) never stand in memory as Python objects.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.json_text import parse_json

_BLOCK_BYTES = 1 << 22
_OPEN, _CLOSE = b"[", b"]"
_BETWEEN = b" \t\r\n,"


@runtime_checkable
class Readable(Protocol):
    """Anything with bytes to read: a file, or a member of a zip archive."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        ...


#: More text than any sample has; a mesh of 6,000 vertices takes half a megabyte.
_LARGEST_SAMPLE_BYTES = 32 << 20


@dataclass(frozen=True)
class Item:
    """The text of one sample, and the list that it stands in (0 for ground truth; 0 joints, 1 vertices)."""

    group: int
    text: bytes


@dataclass
class _State:
    depth: int = 0
    groups: int = 0
    pending: bytes = b""  # of the sample that is open
    opened: bool = False
    closed: bool = False


def iterate_items(stream: Readable, name: str | Path, *, item_depth: int, groups: int | None = None) -> Iterator[Item]:
    """Yield the samples of a nested list; `item_depth` counts the brackets that are open within one (2 or 3).

    Raises: DataError where the text ends early, something other than lists of samples stands in it, or the number of
    lists is not `groups`.
    """
    state = _State()
    read = 0
    while block := stream.read(_BLOCK_BYTES):
        if not read:
            block = block.removeprefix(codecs.BOM_UTF8)
        if not state.opened:
            _check_gap(block.lstrip().partition(_OPEN)[0], name)
            state.opened = bool(block.strip())
        yield from _split(block, state, name, item_depth)
        read += len(block)
    if not read:
        raise DataError(f"{name}: the file is empty; write it again")
    if not state.closed:
        raise DataError(
            f"{name}: the text ends after {read:,} bytes with {state.depth} brackets open; the file is truncated, "
            "write or copy it again"
        )
    if groups is not None and state.groups != groups:
        raise DataError(f"{name}: {state.groups} lists, expected {groups}: [xyz, verts]")


def _split(block: bytes, state: _State, name: str | Path, item_depth: int) -> Iterator[Item]:
    """Yield the samples that end in this block and keep the beginning of the one that does not."""
    codes = np.frombuffer(block, dtype=np.uint8)
    places = np.flatnonzero((codes == _OPEN[0]) | (codes == _CLOSE[0]))
    steps = np.where(codes[places] == _OPEN[0], 1, -1)
    after = state.depth + np.cumsum(steps)
    _check_end(block, places, after, state, name)
    begins = (steps == 1) & (after == item_depth)
    ends = (steps == -1) & (after == item_depth - 1)
    group_begins = (steps == 1) & (after == item_depth - 1)
    start: int | None = 0 if state.pending else None
    outside = 0  # where the text between samples begins
    for index in np.flatnonzero(begins | ends | group_begins):
        place = int(places[index])
        if group_begins[index]:
            state.groups += item_depth > 2
        elif begins[index]:
            _check_gap(block[outside:place], name)
            start = place
        else:
            yield Item(max(state.groups - 1, 0), state.pending + block[start : place + 1])
            state.pending, start, outside = b"", None, place + 1
    state.depth = int(after[-1]) if len(after) else state.depth
    if start is None:
        _check_gap(block[outside:], name)
    else:
        state.pending += block[start:]
        if len(state.pending) > _LARGEST_SAMPLE_BYTES:
            raise DataError(f"{name}: one sample is longer than {_LARGEST_SAMPLE_BYTES:,} bytes; the file is broken")


def _check_end(block: bytes, places: np.ndarray, after: np.ndarray, state: _State, name: str | Path) -> None:
    """Note where the outermost list closes, and raise where anything but white space follows."""
    closing = np.flatnonzero(after == 0)
    rest = b"" if not state.closed else block
    if not state.closed and len(closing):
        rest = block[int(places[closing[0]]) + 1 :]
        state.closed = True
    if rest.strip():
        raise DataError(f"{name}: more text follows where the outermost list ends; write the file again")


def _check_gap(gap: bytes, name: str | Path) -> None:
    """Raise where anything but separators and brackets stands between samples."""
    if stray := gap.strip(_BETWEEN + b"[]"):
        shown = stray[:20].decode("utf-8", "replace")
        raise DataError(
            f"{name}: found {shown!r} where a sample, a list of [x, y, z], was expected; write the file with "
            "json.dump([xyz, verts], file)"
        )


def parse_points(item: Item, name: str | Path, what: str) -> np.ndarray:
    """Return one sample as float64 points (N, 3). Raises: DataError where it is anything else."""
    values = parse_json(item.text, f"{name}: {what}")
    try:
        points = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{name}: {what}: found rows of unequal length or no numbers, expected [x, y, z]") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{name}: {what}: found shape {points.shape}, expected N rows of [x, y, z]")
    return points
