"""Random access to one shard: HDF5 is asked once where things stand, then a sample is a few copies of mapped bytes."""

import json
import mmap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error
from hifihr_core.samples import Sample, Side
from hifihr_core.shards.schema import (
    ANNOTATIONS,
    FORMAT,
    FORMAT_VERSION,
    SAMPLES,
    Problem,
    annotation_checksum,
    sample_checksum,
)

#: What h5py and the few conversions after it raise on a damaged file.
_DAMAGE = (OSError, KeyError, IndexError, RuntimeError, TypeError, ValueError, AttributeError)
_SIDES: tuple[Side, Side] = ("right", "left")


@dataclass(frozen=True, eq=False)  # hashed by identity: it is looked up for every label of every sample
class _Column:
    """Where a contiguous array stands in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def end(self) -> int:
        return self.offset + int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class _Table:
    """One table in memory: everything but the long columns, which stay in the file."""

    keys: tuple[str, ...]
    offsets: np.ndarray
    blob: _Column
    checksums: np.ndarray
    labels: Mapping[str, _Column]
    present: Mapping[str, np.ndarray]


#: Per label its name, its values over the mapped file, and which rows have it.
_Labels = tuple[tuple[str, np.ndarray, list[bool]], ...]


@dataclass(frozen=True)
class _Layout:
    samples: _Table
    annotations: _Table
    rows: np.ndarray
    cameras: np.ndarray
    sides: np.ndarray
    attributes: Mapping[str, Any]
    problems: tuple[Problem, ...]


class ShardReader:
    """Random access to one shard file; opens on first read, so it pickles into other processes.

    `labels` limits what is read; None reads every label. The file is mapped, so threads and forked processes may share
    a reader, and all processes share its pages.
    Raises: DataError if the file is missing, cut short, no shard, or of another layout version.
    """

    def __init__(self, path: Path, *, labels: Collection[str] | None = None) -> None:
        self.path = path
        self.labels = None if labels is None else frozenset(labels)
        self._layout: _Layout | None = None
        self._map: mmap.mmap | None = None
        self._views: dict[_Column, np.ndarray] = {}
        self._wanted: tuple[_Labels, _Labels] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "labels": self.labels, "_layout": None, "_map": None, "_views": {}, "_wanted": None}

    def __len__(self) -> int:
        """Return the number of samples (pictures)."""
        return len(self.layout.rows)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; negative indices count from the end.

        Raises: IndexError outside; DataError if the file was cut or changed.
        """
        layout = self.layout
        index = range(len(layout.rows))[index]
        row = int(layout.rows[index])
        if self._wanted is None:
            self._wanted = self._choose(layout.annotations), self._choose(layout.samples)
        labels = {}
        for columns, place in zip(self._wanted, (row, index), strict=True):
            for name, values, present in columns:
                if present[place]:
                    labels[name] = np.array(values[place])
        return Sample(
            key=layout.samples.keys[index],
            annotation=layout.annotations.keys[row],
            image=self._read_blob(layout.samples, index),
            K=layout.cameras[row].copy(),
            labels=MappingProxyType(labels),
            mask=self._read_blob(layout.annotations, row) or None,
            side=_SIDES[layout.sides[row]],
        )

    @property
    def layout(self) -> _Layout:
        """Return where everything stands; read on first use."""
        if self._layout is None:
            self._layout = _read_layout(self.path)
        return self._layout

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes of the file: format, software, and the facts of the dataset."""
        return self.layout.attributes

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the key of every sample, in order."""
        return self.layout.samples.keys

    @property
    def annotation_rows(self) -> np.ndarray:
        """Return, per sample, its row in the table of annotations."""
        return self.layout.rows

    def column(self, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (values, present) of one label for all samples, pictures of one annotation repeating its row."""
        for table, rows in ((self.layout.annotations, self.layout.rows), (self.layout.samples, slice(None))):
            if label in table.labels:
                return np.array(self._view(table.labels[label])[rows]), table.present[label][rows]
        raise DataError(f"{self.path}: no label {label!r}; this shard holds {', '.join(self.label_shapes) or 'none'}")

    @property
    def label_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every label that a sample of this shard carries."""
        layout = self.layout
        return {name: c.shape[1:] for t in (layout.annotations, layout.samples) for name, c in t.labels.items()}

    @property
    def label_counts(self) -> dict[str, int]:
        """Return how many rows of its table carry each label."""
        layout = self.layout
        return {name: int(has.sum()) for t in (layout.annotations, layout.samples) for name, has in t.present.items()}

    @property
    def annotation_count(self) -> int:
        """Return the number of annotated poses."""
        return len(self.layout.annotations.keys)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return the samples that were left out when the shard was made."""
        return self.layout.problems

    def verify(self) -> Iterator[str]:
        """Read everything again and yield one line per row whose checksum differs."""
        layout = self.layout
        for row, key in enumerate(layout.annotations.keys):
            labels = self._read_labels(layout.annotations, row)
            mask = self._read_blob(layout.annotations, row)
            if annotation_checksum(key, layout.cameras[row], mask, labels) != layout.annotations.checksums[row]:
                yield f"{self.path}: annotation {key} does not match its checksum"
        for row, key in enumerate(layout.samples.keys):
            labels = self._read_labels(layout.samples, row)
            if sample_checksum(key, self._read_blob(layout.samples, row), labels) != layout.samples.checksums[row]:
                yield f"{self.path}: sample {key} does not match its checksum"

    def _view(self, column: _Column) -> np.ndarray:
        """Return a column as an array over the mapped file; opened on first use."""
        if column not in self._views:
            if self._map is None:
                self._map = _map_file(self.path)
            if column.end > len(self._map):
                found = f"{len(self._map):,} bytes, expected {column.end:,}"
                raise DataError(f"{self.path}: {found}; the file was cut, prepare it again")
            self._views[column] = np.ndarray(column.shape, column.dtype, buffer=self._map, offset=column.offset)
        return self._views[column]

    def _choose(self, table: _Table) -> _Labels:
        """Return the columns of a table that are read for every sample."""
        wanted = table.labels if self.labels is None else table.labels.keys() & self.labels
        return tuple((name, self._view(table.labels[name]), table.present[name].tolist()) for name in sorted(wanted))

    def _read_labels(self, table: _Table, row: int) -> dict[str, np.ndarray]:
        """Return all labels of a row."""
        has = {name: column for name, column in table.labels.items() if table.present[name][row]}
        return {name: np.array(self._view(column)[row]) for name, column in has.items()}

    def _read_blob(self, table: _Table, row: int) -> bytes:
        start, stop = table.offsets[row : row + 2].tolist()
        return self._view(table.blob)[start:stop].tobytes()


def _map_file(path: Path) -> mmap.mmap:
    """Map a file for reading; pages are shared by all processes that do."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataError(describe_os_error(error, path)) from error


def _read_layout(path: Path) -> _Layout:
    """Ask HDF5 once for the short columns and for the places of the long ones."""
    try:
        with h5py.File(path, "r") as file:
            _check_version(path, file)
            return _Layout(
                samples=_read_table(file[SAMPLES], "image"),
                annotations=_read_table(file[ANNOTATIONS], "mask"),
                rows=file[SAMPLES]["annotation"][:],
                cameras=file[ANNOTATIONS]["K"][:].astype(np.float32),
                sides=file[ANNOTATIONS]["side"][:],
                attributes=MappingProxyType(dict(file.attrs)),
                problems=tuple(Problem(**row) for row in json.loads(file["problems"][:].tobytes())),
            )
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise DataError(describe_os_error(error, path)) from error
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a whole shard ({reason}); delete it and prepare the dataset again") from error


def _check_version(path: Path, file: h5py.File) -> None:
    if file.attrs.get("format") != FORMAT:
        raise DataError(f"{path}: an HDF5 file of another kind, expected a shard written by `hifihr prepare`")
    version = int(file.attrs.get("format_version", 0))
    if version != FORMAT_VERSION:
        raise DataError(f"{path}: layout version {version}, expected {FORMAT_VERSION}; prepare the dataset again")


def _read_table(group: h5py.Group, blob: str) -> _Table:
    return _Table(
        keys=tuple(key.decode() for key in group["key"][:].tolist()),
        offsets=group[blob]["offsets"][:],
        blob=_locate(group[blob]["bytes"]),
        checksums=group["checksum"][:],
        labels=MappingProxyType({name: _locate(group["labels"][name]) for name in group["labels"]}),
        present=MappingProxyType({name: group["present"][name][:].astype(bool) for name in group["present"]}),
    )


def _locate(data: h5py.Dataset) -> _Column:
    """Return the place of a contiguous dataset; an empty one has none, and nothing is ever read from it."""
    return _Column(offset=data.id.get_offset() or 0, shape=data.shape, dtype=data.dtype)
