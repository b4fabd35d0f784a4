"""The layout of one shard file, checked once against the schema: the location of every column, and the contents of the
short ones.

HDF5 files can refer to other files, store data externally, compute it, or contain pointers; shards do none of this, and
nothing of this kind is followed. Only contiguous arrays of known types inside the file are located, without the HDF5
library, and the numbers are then read from the mapped file.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error
from hifihr_core.outside.json_text import parse_checked
from hifihr_core.samples import LABELS
from hifihr_core.shards.hdf5_objects import (
    DATASPACE,
    DATATYPE,
    EXTERNAL,
    FILTERS,
    LAYOUT,
    NOWHERE,
    Hdf5Object,
    Hdf5Objects,
    find_attribute,
)
from hifihr_core.shards.schema import ANNOTATIONS, FORMAT_VERSION, SAMPLES, Problem, describe_shape, fits_shape

#: The types of columns as they are in HDF5 files: class, properties, size, first and last bit; floats also their parts.
_TYPES: Mapping[str, bytes] = MappingProxyType(
    {
        "<i8": bytes.fromhex("10080000 08000000 00004000"),
        "<u4": bytes.fromhex("10000000 04000000 00002000"),
        "u1": bytes.fromhex("10000000 01000000 00000800"),
        "<f4": bytes.fromhex("11201f00 04000000 00002000 17080017 7f000000"),
        "S": bytes.fromhex("13010000"),  # text of any fixed length, which follows
    }
)
_TYPE_NAMES = MappingProxyType(
    {"<i8": "int64", "<u4": "uint32", "u1": "uint8", "<f4": "float32", "S": "text of a fixed length"}
)
_CONTIGUOUS = b"\3\1"
_LARGEST_KEY = 4096
#: Maximum size of columns that are read at once, and of a picture, bytes.
_LARGEST_SHORT = 256 << 20
_LONGEST_PICTURE = 64 << 20

#: The members of a group by name: their addresses, None for a link.
Members = Mapping[str, int | None]


@dataclass(frozen=True, eq=False)  # hashed by identity: it is looked up for every label of every sample
class Column:
    """The location of a contiguous array in the file; `offset` is the position of its first byte."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def end(self) -> int:
        """Return the offset after its last byte."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def view(self, memory: mmap.mmap) -> np.ndarray:
        """Return the array as a view of the mapped file."""
        return np.ndarray(self.shape, self.dtype, buffer=memory, offset=self.offset)


@dataclass(frozen=True)
class Table:
    """One table in memory, except for the long columns, whose locations are given instead.

    Concretely, the picture or mask of row i is bytes ``offsets[i]`` to ``offsets[i + 1]`` of `blob`. ``labels[name]``
    has a row per row of the table, and ``present[name]`` marks the rows that have the label.
    """

    keys: tuple[str, ...]
    offsets: np.ndarray
    blob: Column
    checksums: np.ndarray
    labels: Mapping[str, Column]
    present: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """All of a shard except its long columns.

    Concretely, ``rows[i] = a`` means that sample i has row a of `annotations`. `cameras` (K) and `sides` (0 right,
    1 left) have a row per annotation.
    """

    samples: Table
    annotations: Table
    rows: np.ndarray
    cameras: np.ndarray
    sides: np.ndarray
    problems: tuple[Problem, ...]


def map_file(path: Path) -> mmap.mmap:
    """Map a file for reading; processes share its pages. Raises: DataError if it cannot be opened or is empty."""
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
    truncated, not a shard, of another version, or its columns are not those of the schema.
    """
    try:
        objects = Hdf5Objects(memory)
        root = objects.read_root()
        _check_version(path, root)
        return _Checker(objects).read(root)
    except (ValueError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: not a complete shard ({reason}); delete it and prepare the dataset again") from error


def _check_version(path: Path, root: Hdf5Object) -> None:
    version = find_attribute(root, "format_version")
    if version is None or find_attribute(root, "format") is None:
        raise DataError(f"{path}: not a shard but another HDF5 file, expected a shard written by `hifihr prepare`")
    kind, shape, content = version
    if not kind.startswith(_TYPES["<i8"]) or _read_shape(shape) or len(content) < 8:
        raise ValueError("its layout version is not a number")
    (found,) = struct.unpack("<q", content[:8])
    if found != FORMAT_VERSION:
        raise DataError(f"{path}: layout version {found}, expected {FORMAT_VERSION}; prepare the dataset again")


def _read_shape(content: bytes | None) -> tuple[int, ...]:
    """Return the shape of an array from the content of its header message DATASPACE."""
    version, rank = struct.unpack("<2B", (content or b"")[:2].ljust(2, b"\0"))
    sizes = (content or b"")[8 : 8 + 8 * rank]
    if version != 1 or len(sizes) != 8 * rank:
        raise ValueError("an array has a damaged shape")
    return struct.unpack(f"<{rank}Q", sizes)


class _Checker:
    """Reads the columns of a shard one by one, and raises ValueError at the first one that violates the schema."""

    def __init__(self, objects: Hdf5Objects) -> None:
        self.objects = objects
        self.memory = objects.memory

    def read(self, root: Hdf5Object) -> Layout:
        file = self.objects.list_members(root)
        samples, annotations = self._group(file, SAMPLES), self._group(file, ANNOTATIONS)
        keys, poses = self._keys(samples), self._keys(annotations)
        rows = self._short(samples, "annotation", "<i8", (len(keys),))
        sides = self._short(annotations, "side", "u1", (len(poses),))
        if rows.size and not (rows.min() >= 0 and rows.max() < len(poses)):
            wrong = rows.min() if rows.min() < 0 else rows.max()
            raise ValueError(f"a sample refers to row {wrong} of {len(poses)} annotations, counted from 0")
        if sides.max(initial=0) > 1:
            raise ValueError(f"an annotation has side {sides.max()}, expected 0 or 1")
        problems = parse_checked(self._short(file, "problems", "u1", (-1,)).tobytes())
        if not isinstance(problems, list):
            raise ValueError(f"problems has type {type(problems).__name__}, expected a list")
        return Layout(
            samples=self._table(samples, keys, "image"),
            annotations=self._table(annotations, poses, "mask"),
            rows=rows,
            cameras=self._short(annotations, "K", "<f4", (len(poses), 3, 3)),
            sides=sides,
            problems=tuple(Problem.model_validate(row) for row in problems),
        )

    def _table(self, group: Members, keys: tuple[str, ...], blob: str) -> Table:
        count, pictures = len(keys), self._group(group, blob)
        offsets = self._short(pictures, "offsets", "<i8", (count + 1,))
        content = self._locate(pictures, "bytes", "u1", (-1,))
        if offsets[0] != 0 or offsets[-1] != content.shape[0] or (np.diff(offsets) < 0).any():
            raise ValueError(f"the offsets of the {blob}s do not ascend from 0 to the end")
        if np.diff(offsets).max(initial=0) > _LONGEST_PICTURE:
            raise ValueError(f"one {blob} has more than {_LONGEST_PICTURE:,} bytes")
        values, present = self._group(group, "labels"), self._group(group, "present")
        names = [name for name in LABELS if name in values]
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

    def _keys(self, group: Members) -> tuple[str, ...]:
        keys = self._short(group, "key", "S", (-1,))
        return tuple(key.decode() for key in keys.tolist())

    def _short(self, group: Members, name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a copy of a column of at most `_LARGEST_SHORT` bytes; arguments as for `_locate`."""
        column = self._locate(group, name, dtype, shape)
        if column.end - column.offset > _LARGEST_SHORT:
            raise ValueError(f"{name} takes {column.end - column.offset:,} bytes, expected at most {_LARGEST_SHORT:,}")
        return column.view(self.memory).copy()

    def _group(self, parent: Members, name: str) -> Members:
        found = self._open(parent, name)
        if found.find(DATATYPE) is not None:
            raise ValueError(f"{name} is not a group")
        return self.objects.list_members(found)

    def _open(self, parent: Members, name: str) -> Hdf5Object:
        if name not in parent:
            raise ValueError(f"{name} is missing")
        address = parent[name]
        if address is None:
            raise ValueError(f"{name} is a link")
        return self.objects.read_object(address)

    def _locate(self, parent: Members, name: str, dtype: str, shape: tuple[int, ...]) -> Column:
        """Return the location of the column `name` of this type and `shape`, in which -1 matches any size."""
        data = self._open(parent, name)
        kind, form = data.find(DATATYPE), data.find(LAYOUT)
        if kind is None or form is None:
            raise ValueError(f"{name} is not an array")
        if not kind.startswith(_TYPES[dtype]):
            raise ValueError(f"{name} has the wrong type, expected {_TYPE_NAMES[dtype]}")
        found = _read_shape(data.find(DATASPACE))
        if not fits_shape(found, shape):
            raise ValueError(f"{name} has shape {found}, expected {describe_shape(shape)}")
        if form[:2] != _CONTIGUOUS or len(form) < 10 or data.find(EXTERNAL) or data.find(FILTERS):
            raise ValueError(f"{name} is not contiguous inside the file")
        column = Column(struct.unpack("<Q", form[2:10])[0], found, self._element(name, dtype, kind))
        if column.offset == NOWHERE and 0 in found:  # an array without elements, which is never read
            column = replace(column, offset=0)
        if max(column.end, *found, 0) > len(self.memory):
            raise ValueError(f"{name} ends at byte {column.end:,}, but the file has {len(self.memory):,} bytes")
        return column

    def _element(self, name: str, dtype: str, kind: bytes) -> np.dtype:
        """Return the type of an array's elements, for text with the length that the file states."""
        if dtype != "S":
            return np.dtype(dtype)
        size = int.from_bytes(kind[4:8], "little")
        if not 0 < size <= _LARGEST_KEY:
            raise ValueError(f"{name} has strings of {size:,} bytes, expected 1 to {_LARGEST_KEY:,}")
        return np.dtype(f"S{size}")
