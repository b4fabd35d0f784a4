"""What every source is: a name, where its data comes from, and a way to open it as splits of samples.

A source never guesses. What is missing or broken is a `DataError` when the data is opened, a `Problem` when one
sample is, and a failed `CheckFacts` when the numbers disagree with each other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hifihr_core.data.raw import RawFile, Tree
from hifihr_core.data.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.samples import Sample


@dataclass(frozen=True)
class Part:
    """One line of the tree that `prepare --check` prints: a file or folder, its state, and what was found."""

    path: str
    state: Literal["present", "missing", "broken", "optional"]
    detail: str = ""


class Split(ABC):
    """One split of one dataset, ready to be packed; pickles into worker processes.

    `count` is the number of annotated poses, `bytes_each` about what one of them takes in a shard, and `plan` the
    small JSON description (file names, sizes, limit) by which an interrupted run recognises its own work.
    """

    facts: DatasetFacts
    count: int
    bytes_each: int
    plan: Mapping[str, Any]

    def stage(self, folder: Path) -> None:  # noqa: B027 (most sources have nothing to stage)
        """Bring annotations into a form that workers can read at random; `folder` outlives interruptions."""

    @abstractmethod
    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield the samples of the annotated poses start..stop-1, those of one pose in a row."""

    def checks(self) -> Iterator[CheckFacts]:
        """Yield what the numbers of this split say about each other; called after `stage`."""
        return iter(())


@dataclass(frozen=True)
class Request:
    """What the user asked of a source. `options` holds what only one source knows."""

    root: Path
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One row of the table of sources.

    `open` returns the splits that are there, and raises DataError, with `download` and `layout` in the message, where
    nothing usable is. `inspect` lists what is present, missing and broken without reading images.
    """

    name: str
    summary: str
    licence: Literal["free", "non-commercial", "gated", "unknown"]
    download: str
    layout: str
    open: Callable[[Request], Sequence[Split]]
    inspect: Callable[[Request], Sequence[Part]]


def describe_file(path: str, file: RawFile | None, *, needed: bool = True) -> Part:
    """Return the line of one file."""
    if file is None:
        return Part(path, "missing" if needed else "optional")
    return Part(path, "present", f"{file.size:,} bytes in {file.name}")


def describe_folder(tree: Tree, folder: str, expected: int | None, *, needed: bool = True) -> Part:
    """Return the line of a folder of pictures; `expected` of None takes any number of files."""
    found = len(tree.names(folder))
    if not found:
        return Part(folder, "missing" if needed else "optional")
    if expected and found != expected:
        return Part(folder, "broken", f"{found:,} files, expected {expected:,}")
    return Part(folder, "present", f"{found:,} files")
