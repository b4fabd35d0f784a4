"""Read external files in place, on disk or inside a zip.

The index of a zip is stored in a few arrays: a hundred thousand entries take a few megabytes and are quickly sent to
worker processes. Zips inside zips are read too, if they are stored uncompressed.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error
from hifihr_core.lookup import needed
from hifihr_core.outside.folders import is_junk
from hifihr_core.outside.whole_files import open_found

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENTRY = np.dtype([("offset", "<i8"), ("packed", "<i8"), ("size", "<i8"), ("crc", "<u4"), ("deflated", "u1")])


#: Maximum length of a file that is read at once, however small it is in a zip.
MOST_BYTES = 1 << 30
#: Maximum nesting depth of zips.
MOST_NESTED = 3


@dataclass(frozen=True)
class RawFile:
    """One external file, on disk or inside a zip.

    Inside a zip, `path` is the zip, `inner` the file's path in it, and `entry` its row of the zip's index.
    """

    path: Path
    inner: str = ""
    entry: tuple[int, int, int, int, int] | None = None

    @property
    def name(self) -> str:
        """Return the name for messages."""
        return f"{self.path}/{self.inner}" if self.inner else str(self.path)

    @property
    def size(self) -> int:
        """Return the number of bytes, after unpacking. Raises: DataError if the file no longer exists."""
        if self.entry:
            return self.entry[2]
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise DataError(describe_os_error(error, self.path)) from error

    def read(self) -> bytes:
        """Return the whole content. Raises: DataError if it is missing, too long, truncated or damaged."""
        if self.entry and self.size > MOST_BYTES:
            raise DataError(f"{self.name}: {self.size:,} bytes, expected at most {MOST_BYTES:,}; check the zip")
        with self.open() if self.entry else open_found(self.path, most_bytes=MOST_BYTES) as stream:
            try:
                return stream.read()
            except OSError as error:
                raise DataError(describe_os_error(error, self.path)) from error

    def open(self) -> BufferedIOBase:
        """Open the file for reading from its beginning. Raises: DataError if it cannot be opened."""
        file = open_found(self.path)
        return io.BufferedReader(_ZipEntry(file, self), 1 << 16) if self.entry else file


class _ZipEntry(io.RawIOBase):
    """The content of one zip entry as a stream; length and CRC are checked at its end."""

    def __init__(self, file: BufferedIOBase, source: RawFile) -> None:
        offset, self._packed, self._left, self._crc, deflated = needed(source.entry, "the entry of a zip")
        self._file, self._name, self._found_crc = file, source.name, 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if deflated else None
        try:
            file.seek(_find_content(file, source, offset))
        except DataError:
            file.close()
            raise

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
        return _damage(self._name, reason)


class _Window(io.RawIOBase):
    """A section of a file, itself readable as a file: a zip stored uncompressed inside another."""

    def __init__(self, file: BufferedIOBase, start: int, size: int) -> None:
        self._file, self._start, self._size, self._place = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, origin + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._place)
        block = self._file.read(max(0, min(len(buffer), self._size - self._place)))
        buffer[: len(block)] = block
        self._place += len(block)
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def _find_content(file: BufferedIOBase, source: RawFile, offset: int) -> int:
    """Return the offset of an entry's content, from its local header at `offset`."""
    file.seek(offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        raise _damage(source.name, "no entry at the offset in the zip's index")
    _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    return offset + _LOCAL_HEADER.size + name_bytes + extra_bytes


def _damage(name: str, reason: str) -> DataError:
    return DataError(f"{name}: {reason}; the zip is damaged: download or write it again")


@dataclass(frozen=True)
class ZipIndex:
    """The files of one zip: for each folder, the sorted names of its files, and a row of `_ENTRY` for each file.

    `source` is the zip itself, a file on disk or an entry of another zip; offsets count from the beginning of the file
    on disk in either case.
    """

    source: RawFile
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
        inner = f"{self.source.inner}/{path}" if self.source.inner else path
        return RawFile(self.source.path, inner, tuple(rows[place].tolist()))

    def files(self) -> Iterator[RawFile]:
        """Yield every file of this zip."""
        for folder, (names, rows) in self.folders.items():
            for name, row in zip(names, rows, strict=True):
                path = "/".join(filter(None, (self.source.inner, folder, name.decode())))
                yield RawFile(self.source.path, path, tuple(row.tolist()))

    def inner_zips(self) -> Iterator[RawFile]:
        """Yield the zips inside this zip."""
        for folder, (names, _) in self.folders.items():
            for name in names[np.char.endswith(np.char.lower(names), b".zip")]:
                file = self.find("/".join(filter(None, (folder, name.decode()))))
                if file:
                    yield file


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip, by its content."""
    return path.is_file() and zipfile.is_zipfile(path)


def read_zip_index(source: RawFile) -> ZipIndex:
    """Read the central directory of a zip, or of a zip stored inside a zip.

    Names with backslashes, which some Windows tools write, are read as paths; files that an operating system added are
    skipped.
    Raises: DataError if the zip is truncated, encrypted, in a later version of the format, nested too deeply, or
    compressed inside another zip, or if an entry points outside it.
    """
    if source.inner.count("/") and source.inner.lower().count(".zip/") >= MOST_NESTED:
        raise DataError(
            f"{source.name}: zips are nested more than {MOST_NESTED} levels deep; unpack the outer ones first"
        )
    try:
        with _open_zip(source) as (file, start), zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except NotImplementedError as error:  # raised by zipfile for an entry in a later version of the format
        raise DataError(
            f"{source.name}: an unsupported kind of zip ({error}); unpack it and give the folder"
        ) from error
    except OSError as error:
        raise DataError(describe_os_error(error, source.path)) from error
    except _BROKEN as error:
        raise DataError(
            f"{source.name}: not a complete zip ({error}); the download may be incomplete, so download it again"
        ) from error
    end = start + source.size
    grouped: dict[str, list[tuple[bytes, tuple[int, ...]]]] = {}
    for info in infos:
        path = _path_of(source.name, info)
        if path.endswith("/") or any(is_junk(part) for part in path.split("/")):
            continue
        offset = start + info.header_offset
        if not (start <= offset < end and 0 <= info.compress_size <= end - offset and 0 <= info.file_size < 1 << 40):
            raise _damage(f"{source.name}/{path}", "the zip's index gives it an impossible offset or size")
        folder, _, name = path.rpartition("/")
        row = (offset, info.compress_size, info.file_size, info.CRC, info.compress_type != 0)
        grouped.setdefault(folder, []).append((name.encode("utf-8", "surrogateescape"), row))
    return ZipIndex(source, {folder: _pack(sorted(rows)) for folder, rows in grouped.items()})


#: Exceptions of zipfile for a damaged directory.
_BROKEN = (
    zipfile.BadZipFile,
    EOFError,
    struct.error,
    ValueError,
    OverflowError,
    LookupError,
    AttributeError,
    RuntimeError,
    MemoryError,
)


@contextmanager
def _open_zip(source: RawFile) -> Iterator[tuple[BufferedIOBase, int]]:
    """Yield (a seekable file, its offset in the file on disk)."""
    with source.path.open("rb") as disk:
        if source.entry is None:
            yield disk, 0
            return
        offset, _, size, _, deflated = source.entry
        if deflated:
            raise DataError(f"{source.name}: a zip compressed inside another; unpack the outer one first")
        start = _find_content(disk, source, offset)
        with io.BufferedReader(_Window(disk, start, size)) as inner:
            yield inner, start


def _pack(rows: list[tuple[bytes, tuple[int, ...]]]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray([name for name, _ in rows], "S"), np.asarray([row for _, row in rows], _ENTRY)


def _path_of(zip_name: str, info: zipfile.ZipInfo) -> str:
    """Return the path of an entry inside its zip.

    Raises: DataError if it points outside the zip, is encrypted, or is compressed by an unsupported method.
    """
    path = info.orig_filename.replace("\\", "/")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path or ":" in path.split("/")[0]:
        raise DataError(
            f"{zip_name}: entry {path!r} points outside the zip; no dataset contains such entries, so delete the zip"
        )
    if info.flag_bits & 1:
        raise DataError(f"{zip_name}: entry {path!r} is encrypted; unpack the zip and pass its contents instead")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{zip_name}: entry {path!r} uses an unsupported compression method; unpack the zip and pass its "
            "contents instead"
        )
    return path.removeprefix("./")
