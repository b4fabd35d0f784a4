"""Raw downloads as one tree of files, whether they lie in folders or in zips, merged from several roots.

Zips are read in place, never unpacked, so that nothing is written outside the shard folder; an entry that climbs out
of its zip is refused all the same, since no dataset has one. The index of a zip is kept in a few arrays: a hundred
thousand entries take some megabytes and travel to worker processes at once.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error

#: Folders of single pictures and annotations: no dataset begins inside one.
_LEAVES = frozenset({"rgb", "color", "mask", "depth", "meta", "seg", "anno", "segmap", "colormap", "facemap"})
_DEPTH = 6
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENTRY = np.dtype([("offset", "<i8"), ("packed", "<i8"), ("size", "<i8"), ("crc", "<u4"), ("deflated", "u1")])


@dataclass(frozen=True)
class RawFile:
    """One file of a download: a path on disk, or a stretch of a zip (`entry` is a row of the zip's index)."""

    path: Path
    inner: str = ""
    entry: tuple[int, int, int, int, int] | None = None

    @property
    def name(self) -> str:
        """Return the name for messages."""
        return f"{self.path}/{self.inner}" if self.inner else str(self.path)

    @property
    def size(self) -> int:
        """Return the number of bytes. Raises: DataError if the file is gone."""
        if self.entry:
            return self.entry[2]
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise DataError(describe_os_error(error, self.path)) from error

    def read(self) -> bytes:
        """Return the whole content. Raises: DataError if it is missing, cut short or damaged."""
        with self.open() as stream:
            try:
                return stream.read()
            except OSError as error:
                raise DataError(describe_os_error(error, self.path)) from error

    def open(self) -> BufferedIOBase:
        """Open the file for reading from its beginning. Raises: DataError if it cannot be."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise DataError(describe_os_error(error, self.path)) from error
        return io.BufferedReader(_ZipEntry(file, self), 1 << 16) if self.entry else file


class _ZipEntry(io.RawIOBase):
    """The content of one zip entry as a stream; length and CRC are checked at its end."""

    def __init__(self, file: BufferedIOBase, source: RawFile) -> None:
        assert source.entry is not None
        offset, self._packed, self._left, self._crc, deflated = source.entry
        self._file, self._name, self._found_crc = file, source.name, 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if deflated else None
        file.seek(offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            file.close()
            raise self._damage("no entry where the zip's index says")
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        file.seek(name_bytes + extra_bytes, os.SEEK_CUR)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        block = self._read(min(len(buffer), self._left))
        buffer[: len(block)] = block
        self._left -= len(block)
        self._found_crc = zlib.crc32(block, self._found_crc)
        if self._left == 0 and block and self._found_crc != self._crc:
            raise self._damage("wrong checksum")
        return len(block)

    def _read(self, size: int) -> bytes:
        if size == 0:
            return b""
        block = self._file.read(size) if self._inflate is None else self._decompress(size)
        if not block:
            raise self._damage("ends too early")
        return block

    def _decompress(self, size: int) -> bytes:
        assert self._inflate is not None
        block = b""
        while not block and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail
            if not packed:
                packed = self._file.read(min(self._packed, 1 << 16))
                self._packed -= len(packed)
                if not packed:
                    break
            try:
                block = self._inflate.decompress(packed, size)
            except zlib.error as error:
                raise self._damage(str(error)) from error
        return block

    def _damage(self, reason: str) -> DataError:
        return DataError(f"{self._name}: {reason}, the zip is damaged; download it again")


@dataclass(frozen=True)
class FolderPlace:
    """A folder on disk."""

    path: Path

    @property
    def name(self) -> str:
        """Return the name for messages."""
        return str(self.path)

    def find(self, path: str) -> RawFile | None:
        """Return the file at `path`, or None."""
        full = self.path / path
        return RawFile(full) if full.is_file() else None

    def names(self, folder: str) -> Sequence[str]:
        """Return the sorted names of the files in `folder`."""
        try:
            with os.scandir(self.path / folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_file())
        except OSError:
            return []


@dataclass(frozen=True)
class ZipIndex:
    """The files of one zip: per folder the sorted names, and a row of `_ENTRY` for each."""

    path: Path
    folders: Mapping[str, tuple[np.ndarray, np.ndarray]]

    def find(self, path: str) -> RawFile | None:
        """Return the entry at `path`, or None."""
        folder, _, name = path.rpartition("/")
        names, rows = self.folders.get(folder, (None, None))
        if names is None or rows is None:
            return None
        place = int(np.searchsorted(names, name.encode()))
        if place == len(names) or names[place] != name.encode():
            return None
        return RawFile(self.path, path, tuple(rows[place].tolist()))


@dataclass(frozen=True)
class ZipPlace:
    """A folder inside a zip; `prefix` is "" or ends with a slash."""

    index: ZipIndex
    prefix: str = ""

    @property
    def name(self) -> str:
        """Return the name for messages."""
        return f"{self.index.path}/{self.prefix}".rstrip("/")

    def find(self, path: str) -> RawFile | None:
        """Return the file at `path`, or None."""
        return self.index.find(self.prefix + path)

    def names(self, folder: str) -> Sequence[str]:
        """Return the sorted names of the files in `folder`."""
        names, _ = self.index.folders.get((self.prefix + folder).rstrip("/"), ((), ()))
        return [name.decode() for name in names]


#: Where files lie by their path below a root.
Place = FolderPlace | ZipPlace


@dataclass(frozen=True)
class Tree:
    """Several places as one; the first that has a file gives it."""

    places: tuple[Place, ...] = field(default_factory=tuple)

    def find(self, path: str) -> RawFile | None:
        """Return the file at `path`, or None."""
        return next((file for place in self.places if (file := place.find(path))), None)

    def need(self, path: str) -> RawFile:
        """Return the file at `path`. Raises: DataError if no place has it."""
        file = self.find(path)
        if file is None:
            raise DataError(f"{path}: missing, looked in {' and '.join(place.name for place in self.places)}")
        return file

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of the files in `folder`, of all places together."""
        return sorted({name for place in self.places for name in place.names(folder)})


def find_places(root: Path, anchors: Iterable[str]) -> list[Place]:
    """Return every folder, on disk or in a zip, at or below `root` that holds one of the `anchors`.

    An anchor is a file name, with ``*`` for any part of it, or the name of a folder with a slash at its end. Places
    come in the order of their names, folders before zips.
    Raises: DataError if `root` is missing, or a zip is truncated, encrypted or climbs out of itself.
    """
    anchors = tuple(anchors)
    if not root.exists():
        raise DataError(f"{root}: no such folder or zip; give the place of the download with --root")
    if root.is_file():
        return list(_places_in_zip(root, anchors))
    folders: list[Place] = []
    zips: list[Path] = []
    for folder, subfolders, names in _walk(root):
        if any(_is_anchor(name, anchors) for name in (*names, *(f"{sub}/" for sub in subfolders))):
            folders.append(FolderPlace(folder))
        zips += [folder / name for name in names if name.lower().endswith(".zip")]
    return [*folders, *(place for path in zips for place in _places_in_zip(path, anchors))]


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield (folder, its folders, its files), sorted, without entering folders of single pictures."""
    for current, subfolders, names in os.walk(root, followlinks=True):
        folder = Path(current)
        yield folder, sorted(subfolders), sorted(names)
        deep = len(folder.relative_to(root).parts) >= _DEPTH
        subfolders[:] = [] if deep else sorted(sub for sub in subfolders if sub not in _LEAVES)


def _is_anchor(name: str, anchors: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, anchor) for anchor in anchors)


def _places_in_zip(path: Path, anchors: tuple[str, ...]) -> Iterator[Place]:
    index = read_zip_index(path)
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


def _plausible(names: np.ndarray, anchors: tuple[str, ...]) -> np.ndarray:
    """Return the names with the ending of an anchor: the others, many thousand pictures, need no closer look."""
    endings = {Path(anchor).suffix.encode() for anchor in anchors if not anchor.endswith("/")}
    keep = np.zeros(len(names), bool)
    for ending in endings:
        keep |= np.char.endswith(names, ending)
    return names[keep]


def read_zip_index(path: Path) -> ZipIndex:
    """Read the central directory of a zip. Raises: DataError as `find_places` says."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, EOFError, struct.error, ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: not a whole zip ({error}); the download broke off, fetch it again") from error
    except OSError as error:
        raise DataError(describe_os_error(error, path)) from error
    grouped: dict[str, list[tuple[bytes, tuple[int, ...]]]] = {}
    for info in infos:
        _refuse_bad_entry(path, info)
        folder, _, name = info.filename.rpartition("/")
        row = (info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type != 0)
        grouped.setdefault(folder, []).append((name.encode(), row))
    return ZipIndex(path, {folder: _pack(sorted(rows)) for folder, rows in grouped.items()})


def _pack(rows: list[tuple[bytes, tuple[int, ...]]]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray([name for name, _ in rows], "S"), np.asarray([row for _, row in rows], _ENTRY)


def _refuse_bad_entry(path: Path, info: zipfile.ZipInfo) -> None:
    """Raise DataError for an entry that is no plain file of a dataset."""
    name = info.orig_filename
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or ":" in name.split("/")[0]:
        raise DataError(f"{path}: entry {name!r} leads out of the zip; no dataset has that, delete the file")
    if info.flag_bits & 1:
        raise DataError(f"{path}: entry {name!r} is encrypted; get the plain download")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: entry {name!r} uses an unusual compression; unpack the zip and give the folder")
