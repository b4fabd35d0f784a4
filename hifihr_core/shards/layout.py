"""The layout of one shard file, checked once against the schema: the location of every column, and the contents of
short ones.

A shard is data, not a program. HDF5 files can link to other files, store data externally, compute it, or contain
pointers; none of that is followed. HDF5 is only used to locate contiguous arrays of known types, which must be inside
the file; the numbers are then read from the mapped file.
"""

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
from pydantic import ValidationError

from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error
from hifihr_core.outside.json_text import parse_json
from hifihr_core.samples import LABELS
from hifihr_core.shards.schema import ANNOTATIONS, FORMAT, FORMAT_VERSION, SAMPLES, Problem
from hifihr_core.shards.string_heaps import check_string_heaps

#: Exceptions of h5py and the conversions after it for a damaged file.
_DAMAGE = (
    OSError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    ValidationError,
)
_LARGEST_KEY = 4096
#: Maximum size of columns that are read at once, and of a picture, bytes.
_LARGEST_SHORT = 256 << 20
_LONGEST_PICTURE = 64 << 20


@dataclass(frozen=True, eq=False)  # hashed by identity: it is looked up for every label of every sample
class Column:
    """The location of a contiguous array in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def end(self) -> int:
        """Return the offset after its last byte."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def view(self, memory: mmap.mmap) -> np.ndarray:
        """Return the array over the mapped file."""
        return np.ndarray(self.shape, self.dtype, buffer=memory, offset=self.offset)


@dataclass(frozen=True)
class Table:
    """One table in memory: everything except the long columns, which stay in the file."""

    keys: tuple[str, ...]
    offsets: np.ndarray
    blob: Column
    checksums: np.ndarray
    labels: Mapping[str, Column]
    present: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """Everything about a shard except its long columns. `rows` is the annotation of every sample."""

    samples: Table
    annotations: Table
    rows: np.ndarray
    cameras: np.ndarray
    sides: np.ndarray
    problems: tuple[Problem, ...]


def map_file(path: Path) -> mmap.mmap:
    """Map a file for reading; processes share its pages. Raises: DataError if that fails."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataError(describe_os_error(error, path)) from error
    except ValueError as error:
        raise DataError(f"{path}: not a complete shard (it is empty); prepare the dataset again") from error


def read_layout(path: Path, memory: mmap.mmap) -> Layout:
    """Return the layout of the shard at `path`, mapped as `memory`.

    No lock is taken, so shards can be read on file systems without locks. Raises: DataError if the file is
    truncated, not a shard, of another version, or holds anything but the columns of the schema.
    """
    try:
        check_string_heaps(memory)
        with h5py.File(path, "r", locking=False) as file:
            _check_version(path, file)
            return _Checker(memory).read(file)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise DataError(describe_os_error(error, path)) from error
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: not a complete shard ({reason}); delete it and prepare the dataset again") from error


def _check_version(path: Path, file: h5py.File) -> None:
    if _attribute(file, "format") != FORMAT:
        raise DataError(f"{path}: not a shard but another HDF5 file, expected a shard written by `hifihr prepare`")
    version = _attribute(file, "format_version")
    if version != FORMAT_VERSION:
        raise DataError(f"{path}: layout version {version}, expected {FORMAT_VERSION}; prepare the dataset again")


def _attribute(file: h5py.File, name: str) -> object:
    """Return a single number or string from the file; None if it is anything else."""
    if name not in file.attrs or file.attrs.get_id(name).shape != ():
        return None
    value = file.attrs[name]
    return value.item() if isinstance(value, np.generic) else value


class _Checker:
    """Reads the columns of a shard one by one, and raises ValueError at the first one that violates the schema."""

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory = memory

    def read(self, file: h5py.File) -> Layout:
        samples, annotations = self._group(file, SAMPLES), self._group(file, ANNOTATIONS)
        keys, poses = self._keys(samples), self._keys(annotations)
        rows = self._short(samples, "annotation", "<i8", (len(keys),))
        sides = self._short(annotations, "side", "u1", (len(poses),))
        if rows.size and not (rows.min() >= 0 and rows.max() < len(poses)):
            raise ValueError(f"a sample refers to annotation {rows.max()}, expected 0 to {len(poses) - 1}")
        if sides.max(initial=0) > 1:
            raise ValueError(f"a sample has side {sides.max()}, expected 0 or 1")
        problems = self._short(file, "problems", "u1", (-1,)).tobytes()
        return Layout(
            samples=self._table(samples, keys, "image"),
            annotations=self._table(annotations, poses, "mask"),
            rows=rows,
            cameras=self._short(annotations, "K", "<f4", (len(poses), 3, 3)),
            sides=sides,
            problems=tuple(Problem.model_validate(row) for row in parse_json(problems, "problems", error=ValueError)),
        )

    def _table(self, group: h5py.Group, keys: tuple[str, ...], blob: str) -> Table:
        count = len(keys)
        offsets = self._short(self._group(group, blob), "offsets", "<i8", (count + 1,))
        content = self._locate(self._group(group, blob), "bytes", "u1", (-1,))
        if offsets[0] != 0 or offsets[-1] != content.shape[0] or (np.diff(offsets) < 0).any():
            raise ValueError(f"{blob}s are not contiguous")
        if np.diff(offsets).max(initial=0) > _LONGEST_PICTURE:
            raise ValueError(f"one {blob} has more than {_LONGEST_PICTURE:,} bytes")
        values, present = self._group(group, "labels"), self._group(group, "present")
        names = [name for name in LABELS if values.get(name, getlink=True) is not None]
        return Table(
            keys=keys,
            offsets=offsets,
            blob=content,
            checksums=self._short(group, "checksum", "<u4", (count,)),
            labels=MappingProxyType(
                {name: self._locate(values, name, "<f4", (count, *LABELS[name].shape)) for name in names}
            ),
            present=MappingProxyType({name: self._short(present, name, "u1", (count,)).astype(bool) for name in names}),
        )

    def _keys(self, group: h5py.Group) -> tuple[str, ...]:
        keys = self._short(group, "key", "S", (-1,))
        return tuple(key.decode() for key in keys.tolist())

    def _short(self, group: h5py.Group, name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a copy of a column."""
        column = self._locate(group, name, dtype, shape)
        if column.end - column.offset > _LARGEST_SHORT:
            raise ValueError(f"{name} takes {column.end - column.offset:,} bytes, expected at most {_LARGEST_SHORT:,}")
        return column.view(self.memory).copy()

    def _group(self, parent: h5py.Group, name: str) -> h5py.Group:
        found = self._open(parent, name)
        if not isinstance(found, h5py.Group):
            raise ValueError(f"{name} is not a group")
        return found

    def _open(self, parent: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
        link = parent.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is missing" if link is None else f"{name} is a link")
        return parent[name]

    def _locate(self, parent: h5py.Group, name: str, dtype: str, shape: tuple[int, ...]) -> Column:
        """Return the location of a column; -1 in `shape` matches any size."""
        data = self._open(parent, name)
        if not isinstance(data, h5py.Dataset):
            raise ValueError(f"{name} is not an array")
        plist = data.id.get_create_plist()
        if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count() or plist.get_nfilters():
            raise ValueError(f"{name} is not contiguous inside the file")
        found, itemsize = data.dtype, data.dtype.itemsize
        is_text = dtype == "S" and found.kind == "S" and 0 < itemsize <= _LARGEST_KEY
        if not (is_text or (dtype != "S" and found == np.dtype(dtype))):
            raise ValueError(f"{name} has type {found}, expected {dtype}")
        fits = len(data.shape) == len(shape)
        if not fits or any(want not in (-1, got) for want, got in zip(shape, data.shape, strict=True)):
            raise ValueError(f"{name} has shape {data.shape}, expected {shape}")
        # An empty array has no location in the file, and is never read.
        column = Column(data.id.get_offset() or 0, data.shape, np.dtype(f"S{itemsize}") if is_text else np.dtype(dtype))
        if not 0 <= column.offset <= column.end <= len(self.memory):
            raise ValueError(f"{name} ends at byte {column.end:,}, but the file has {len(self.memory):,}")
        return column
