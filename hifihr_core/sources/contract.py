"""What every source is: a name, where its data comes from, and a way to open it as splits of samples.

A source never guesses. What is missing or broken is a `DataError` when the data is opened, a `Problem` when one
sample is, and a failed `CheckFacts` when the numbers disagree with each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hifihr_core.shards.split import Split
from hifihr_core.sources.raw.raw_tree import RawFile, Tree


@dataclass(frozen=True)
class FileState:
    """One line of the tree that `prepare --check` prints: a file or folder, its state, and what was found."""

    path: str
    state: Literal["present", "missing", "broken", "optional"]
    detail: str = ""


@dataclass(frozen=True)
class Request:
    """What the user asked a source for. `options` holds the values of its own options, by the names in `Source`."""

    root: Path
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One row of the table of sources.

    `open` returns the splits that are there, and raises DataError, with `download` and `layout` in the message, where
    nothing usable is. `inspect` lists what is present, missing and broken without reading images. `options` are those
    of `hifihr prepare` that only some sources have.
    """

    name: str
    summary: str
    licence: Literal["free", "non-commercial", "gated", "unknown"]
    download: str
    layout: str
    open: Callable[[Request], Sequence[Split]]
    inspect: Callable[[Request], Sequence[FileState]]
    options: frozenset[str] = frozenset()


def describe_file(path: str, file: RawFile | None, *, needed: bool = True) -> FileState:
    """Return the line of one file."""
    if file is None:
        return FileState(path, "missing" if needed else "optional")
    return FileState(path, "present", f"{file.size:,} bytes in {file.name}")


def describe_folder(tree: Tree, folder: str, expected: int | None, *, needed: bool = True) -> FileState:
    """Return the line of a folder of pictures; `expected` of None takes any number of files."""
    found = len(tree.names(folder))
    if not found:
        return FileState(folder, "missing" if needed else "optional")
    if expected and found != expected:
        return FileState(folder, "broken", f"{found:,} files, expected {expected:,}")
    return FileState(folder, "present", f"{found:,} files")
