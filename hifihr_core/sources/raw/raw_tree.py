"""The files of a download as one tree, whether they are in folders or in zips, merged from several places.

Zips are read in place and never unpacked, so nothing is written outside the shard folder; zips with entries that point
outside the zip are rejected anyway, since no dataset has any.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.outside.folders import is_junk, walk
from hifihr_core.outside.zips import RawFile, ZipIndex, read_zip_index

__all__ = ["FolderPlace", "Place", "RawFile", "Tree", "ZipPlace", "find_places"]

#: Folders with single pictures and annotations, in which no dataset can be rooted.
_LEAVES = frozenset({"rgb", "color", "mask", "depth", "meta", "seg", "anno", "segmap", "colormap", "facemap"})
_DEPTH = 6


@dataclass(frozen=True)
class FolderPlace:
    """A folder on disk in which files are found by their relative paths."""

    path: Path

    @property
    def name(self) -> str:
        """Return the name for messages."""
        return str(self.path)

    def find(self, path: str) -> RawFile | None:
        """Return the file at `path`, or None."""
        full = self.path / path
        try:
            return RawFile(full) if full.is_file() else None
        except (OSError, ValueError):  # a list may contain names that are invalid on any file system
            return None

    def names(self, folder: str) -> Sequence[str]:
        """Return the sorted names of the files in `folder`."""
        try:
            with os.scandir(self.path / folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_file() and not is_junk(entry.name))
        except OSError:
            return []


@dataclass(frozen=True)
class ZipPlace:
    """A folder in a zip in which files are found by their relative paths; `prefix` is "" or ends with a slash."""

    index: ZipIndex
    prefix: str = ""

    @property
    def name(self) -> str:
        """Return the name for messages."""
        return f"{self.index.source.name}/{self.prefix}".rstrip("/")

    def find(self, path: str) -> RawFile | None:
        """Return the file at `path`, or None."""
        return self.index.find(self.prefix + path)

    def names(self, folder: str) -> Sequence[str]:
        """Return the sorted names of the files in `folder`."""
        names, _ = self.index.folders.get((self.prefix + folder).rstrip("/"), ((), ()))
        return [name.decode() for name in names]


#: A place in which files are found by their path below a root.
Place = FolderPlace | ZipPlace


@dataclass(frozen=True)
class Tree:
    """Several places merged into one; a file comes from the first place that has it."""

    places: tuple[Place, ...] = field(default_factory=tuple)

    def find(self, path: str) -> RawFile | None:
        """Return the file at `path`, or None."""
        return next((file for place in self.places if (file := place.find(path))), None)

    def need(self, path: str) -> RawFile:
        """Return the file at `path`. Raises: DataError if no place has it."""
        file = self.find(path)
        if file is None:
            raise DataError(f"{path}: missing, searched in {' and '.join(place.name for place in self.places)}")
        return file

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of the files in `folder`, over all places."""
        return sorted({name for place in self.places for name in place.names(folder)})


def find_places(root: Path, anchors: Iterable[str]) -> list[Place]:
    """Return every folder, on disk or in a zip, at or below `root` that contains one of the `anchors`.

    An anchor is a file name, with ``*`` as a wildcard, or a folder name with a trailing slash. Places are sorted by
    name, folders before zips.
    Raises: DataError if `root` is missing, or a zip is truncated, encrypted or has entries that point outside it.
    """
    anchors = tuple(anchors)
    if not root.exists():
        raise DataError(f"{root}: no such folder or zip; give the location of the download with --root")
    if root.is_file():
        return list(_places_in_zip(RawFile(root), anchors))
    folders: list[Place] = []
    zips: list[Path] = []
    for folder, subfolders, names in walk(root, enter=lambda name: name not in _LEAVES, most_depth=_DEPTH):
        if any(_is_anchor(name, anchors) for name in (*names, *(f"{sub}/" for sub in subfolders))):
            folders.append(FolderPlace(folder))
        zips += [folder / name for name in names if name.lower().endswith(".zip")]
    return [*folders, *(place for path in zips for place in _places_in_zip(RawFile(path), anchors))]


def _is_anchor(name: str, anchors: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, anchor) for anchor in anchors)


def _places_in_zip(source: RawFile, anchors: tuple[str, ...]) -> Iterator[Place]:
    index = read_zip_index(source)
    prefixes = set()
    for folder, (names, _) in index.folders.items():
        parts = folder.split("/") if folder else []
        if any(_is_anchor(name.decode(), anchors) for name in _plausible(names, anchors)):
            prefixes.add("".join(f"{part}/" for part in parts))
        for depth, part in enumerate(parts):
            if _is_anchor(f"{part}/", anchors):
                prefixes.add("".join(f"{part}/" for part in parts[:depth]))
                break
    yield from (ZipPlace(index, prefix) for prefix in sorted(prefixes))
    for inner in index.inner_zips():
        yield from _places_in_zip(inner, anchors)


def _plausible(names: np.ndarray, anchors: tuple[str, ...]) -> np.ndarray:
    """Return the names that end like one of the anchors, so that thousands of pictures are not compared in detail."""
    endings = {Path(anchor).suffix.encode() for anchor in anchors if not anchor.endswith("/")}
    keep = np.zeros(len(names), bool)
    for ending in endings:
        keep |= np.char.endswith(names, ending)
    return names[keep]
