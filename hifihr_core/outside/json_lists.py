"""Read long JSON lists, such as gigabytes of annotations or predictions, one entry at a time in bounded memory.

Each block of bytes is scanned for brackets, which show where entries begin and end; each entry is then parsed by the
standard library's `json`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.outside.json_text import MOST_DEPTH, parse_flat

_BLOCK_BYTES = 1 << 22
#: Maximum length of an entry; no sample is longer.
MOST_ENTRY_BYTES = 16 << 20
_BETWEEN = b" \t\r\n,"
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
#: The change of depth at every byte value, as a signed byte.
_STEPS = bytes({**dict.fromkeys(b"[{", 1), **dict.fromkeys(b"]}", 255)}.get(code, 0) for code in range(256))
_SCALAR = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s,"]+|"', re.DOTALL)


@runtime_checkable
class Readable(Protocol):
    """Anything from which bytes can be read, such as a file or an entry of a zip."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, or ``b""`` at the end."""
        ...


@dataclass(frozen=True)
class Entry:
    """The text of one entry, and the index of the inner list that contains it (0 if there are no inner lists)."""

    group: int
    text: bytes

    def parse(self) -> Any:
        """Return the value. Raises: ValueError if the text is not JSON."""
        return parse_flat(self.text)


@dataclass
class _State:
    """The state of the scan after one block, with which the next block begins."""

    depth: int = 0
    groups: int = 0
    pending: bytes = b""  # the beginning of an entry, or of a number or string between entries
    is_open: bool = False  # whether `pending` is an entry with brackets
    in_string: bool = False
    closed: bool = False


def iterate_entries(
    stream: Readable,
    name: str | Path,
    *,
    level: int = 1,
    lists: int | None = None,
    remedy: str = "download or write it again",
) -> Iterator[Entry]:
    """Yield the entries of a JSON list (`level` 1), or of the lists inside a list (`level` 2).

    An entry may be any JSON value. `lists` is the expected number of inner lists, None for any number; `name` and
    `remedy` are for the message. Raises: DataError if the text is anything else or ends early, an entry is longer than
    `MOST_ENTRY_BYTES`, or the number of inner lists is wrong.
    """
    state, read = _State(), 0
    block = stream.read(3).removeprefix(b"\xef\xbb\xbf")  # a byte-order mark
    while block := block + stream.read(_BLOCK_BYTES):
        while block.endswith(b"\\") and (more := stream.read(1)):
            block += more
        read += len(block)
        try:
            yield from _split(block, state, level)
        except _Foreign as error:
            raise DataError(f"{name}: {error}; {remedy}") from None
        block = b""
    if not read:
        raise DataError(f"{name}: the file is empty; {remedy}")
    if not state.closed:
        raise DataError(f"{name}: truncated: the text ends after {read:,} bytes, before the list is closed; {remedy}")
    if lists is not None and state.groups != lists:
        raise DataError(f"{name}: number of inner lists: {state.groups}, expected {lists}; {remedy}")


class _Foreign(Exception):
    """The text is not a list of entries."""


def _split(block: bytes, state: _State, level: int) -> Iterator[Entry]:
    """Yield the entries that end in this block, and store the beginning of an unfinished one in `state`."""
    places, steps = _brackets(block, state)
    after = state.depth + np.cumsum(steps)
    _check_ends(block, places, after, state)
    if after.max(initial=0) > MOST_DEPTH:
        raise _Foreign(f"brackets are nested more than {MOST_DEPTH} deep")
    begin, is_open = 0, state.is_open
    # Brackets that open or close an entry, or the list of entries.
    marks = np.flatnonzero((after <= level) | ((after == level + 1) & (steps > 0)))
    for mark in marks.tolist():
        place, depth = int(places[mark]), int(after[mark])
        if depth == level and steps[mark] < 0 and is_open:  # an entry ends
            text, state.pending, is_open = state.pending + block[begin : place + 1], b"", False
            yield Entry(state.groups - 1, text)
            begin = place + 1
            continue
        yield from _scalars(state.pending + block[begin:place], state, depth - int(steps[mark]) == level)
        state.pending, begin = b"", place + 1
        if depth == level + 1:
            begin, is_open = place, True
        elif depth == level and steps[mark] > 0:
            state.groups += 1
    state.depth, state.is_open = (int(after[-1]) if len(after) else state.depth), is_open
    rest = state.pending + block[begin:]
    if not is_open and not state.in_string:
        whole, rest = _cut_scalars(rest)
        yield from _scalars(whole, state, state.depth == level)
    state.pending = rest
    if len(rest) > MOST_ENTRY_BYTES:
        raise _Foreign(f"an entry has more than {MOST_ENTRY_BYTES:,} bytes")


def _cut_scalars(text: bytes) -> tuple[bytes, bytes]:
    """Return the complete numbers and strings at the beginning, and the rest, which may continue in the next block."""
    cut = max(text.rfind(b'"'), text.rfind(b",", max(text.rfind(b'"'), 0))) + 1
    return text[:cut], text[cut:]


def _brackets(block: bytes, state: _State) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the brackets outside strings, and, for each, 1 if it opens or -1 if it closes."""
    has_text = state.in_string or b'"' in block
    text = _ESCAPE.sub(b"__", block) if has_text else block
    steps = np.frombuffer(text.translate(_STEPS), np.int8)
    places = np.flatnonzero(steps != 0)
    if has_text:
        quotes = np.flatnonzero(np.frombuffer(text, np.uint8) == ord('"'))
        inside = (np.searchsorted(quotes, places) + state.in_string) % 2 == 1
        places = places[~inside]
        state.in_string = bool((len(quotes) + state.in_string) % 2)
    return places, steps[places].astype(np.int64)


def _check_ends(block: bytes, places: np.ndarray, after: np.ndarray, state: _State) -> None:
    """Raise `_Foreign` if anything comes before or after the outermost list, and set `state.closed` at its end."""
    begins_here = state.depth == 0 and not state.closed
    if begins_here:
        head = block[: int(places[0])] if len(places) else block
        opener = block[int(places[0]) :][:1] if len(places) else b"["
        if head.strip() or opener != b"[":
            raise _Foreign(f"found {_show(head.strip() + opener)}, expected a list")
    rest = block if state.closed else b""
    closing = np.flatnonzero(after <= 0)
    if not state.closed and len(closing):
        state.closed, rest = True, block[int(places[closing[0]]) + 1 :]
    if rest.strip():
        raise _Foreign("more text follows after the outermost list")


def _scalars(text: bytes, state: _State, expected: bool) -> Iterator[Entry]:
    """Yield the entries in `text`, which have no brackets; raise `_Foreign` if there are any but none is `expected`."""
    if text.strip(_BETWEEN) and not expected:
        raise _Foreign(f"found {_show(text.strip(_BETWEEN))}, expected a list of entries")
    yield from (Entry(state.groups - 1, match[0]) for match in _SCALAR.finditer(text))


def _show(text: bytes) -> str:
    return repr(text[:20].decode("utf-8", "replace"))
