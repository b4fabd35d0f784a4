"""The interface of a source of data: its name, where its data comes from, and how to open it as splits of samples.

A source never guesses. Missing or broken data is a `DataError` on opening, a broken sample is a `Problem`, and numbers
that contradict each other are a failed `CheckFacts`.
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
    """What the user wants from a source.

    `root` is the folder or zip with the data, `limit` the maximum number of poses of a split (None for all). `options`
    are values of options that not all sources have, by their names in `Source.options`.
    """

    root: Path
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One row of the table of sources.

    `download` is an instruction to get the data, `layout` lists the expected files. `open` returns the available
    splits, or raises DataError, with `download` in the message, if there are none. `inspect` lists, without
    reading pictures, which files are present, missing or broken. `options` are the names of the options of
    `hifihr prepare` that this source has but some others do not.
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
    """Return the report line of one file; if it does not exist, `needed` decides between "missing" and "optional"."""
    if file is None:
        return FileState(path, "missing" if needed else "optional")
    return FileState(path, "present", f"{file.size:,} bytes in {file.name}")


def describe_folder(tree: Tree, folder: str, expected: int | None, *, needed: bool = True) -> FileState:
    """Return the report line of a folder of pictures; `expected=None` accepts any number of files.

    If it has none, `needed` decides between "missing" and "optional".
    """
    found = len(tree.names(folder))
    if not found:
        return FileState(folder, "missing" if needed else "optional")
    if expected and found != expected:
        return FileState(folder, "broken", f"{count_files(found)}, expected {expected:,}")
    return FileState(folder, "present", count_files(found))


def count_files(count: int) -> str:
    """Return a number of files in words for a report line."""
    return f"{count:,} file{'s' * (count != 1)}"
