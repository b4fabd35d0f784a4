"""Random access to one shard: its columns are located once; then a sample is read by copying a few mapped bytes."""

import mmap
from collections.abc import Collection, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Int64

from hifihr_core.errors import DataError
from hifihr_core.sample_batches import EncodedPicture, SampleBatch
from hifihr_core.samples import Sample, Side
from hifihr_core.shards.layout import Column, Layout, Table, map_file, read_layout
from hifihr_core.shards.schema import Problem, annotation_checksum, sample_checksum

_SIDES: tuple[Side, Side] = ("right", "left")

#: Per label: its name, its values over the mapped file, and which rows have it.
_Labels = tuple[tuple[str, np.ndarray, np.ndarray], ...]


class ShardReader:
    """Random access to one shard file; it is opened on first read, so the reader is picklable.

    `labels` restricts what is read; None reads every label. `samples` is the number that the index states, None to
    skip this check. The file is mapped, so threads and forked processes may share a reader, and all processes share
    the file's pages. The first read raises DataError if the file is missing, truncated, not a shard, or of another
    layout version.
    """

    def __init__(self, path: Path, *, labels: Collection[str] | None = None, samples: int | None = None) -> None:
        self.path = path
        self.samples = samples
        self.labels = None if labels is None else frozenset(labels)
        self._layout: Layout | None = None
        self._map: mmap.mmap | None = None
        self._views: dict[Column, np.ndarray] = {}
        self._wanted: tuple[_Labels, _Labels] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_layout": None, "_map": None, "_views": {}, "_wanted": None}

    def __len__(self) -> int:
        """Return the number of samples (pictures)."""
        return len(self.layout.rows)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; negative indices count from the end.

        Raises: IndexError if there is no such sample; DataError on the first read if the file is not a complete shard.
        """
        layout = self.layout
        index = range(len(layout.rows))[index]
        row = int(layout.rows[index])
        labels = {}
        for columns, place in zip(self._columns, (row, index), strict=True):
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

    def read(self, indices: Int64[np.ndarray, " B"]) -> SampleBatch:
        """Read several samples, each label as one block, which is much faster than reading them one by one.

        Raises: IndexError if an index is not in 0 to N - 1; DataError as for one sample.
        """
        layout = self.layout
        if not ((indices >= 0) & (indices < len(layout.rows))).all():
            found = f"{indices.min()} to {indices.max()}"
            raise IndexError(f"sample indices are {found}, expected 0 to {len(layout.rows) - 1}")
        rows = layout.rows[indices]
        labels, present = {}, {}
        for columns, places in zip(self._columns, (rows, indices), strict=True):
            for name, values, has in columns:
                having = has[places]
                if having.any():
                    labels[name], present[name] = values[places], having
                    if not having.all():
                        labels[name][~having] = 0
        return SampleBatch(
            pictures=self._read_pictures(indices, rows),
            sides=tuple(_SIDES[side] for side in layout.sides[rows].tolist()),
            K=layout.cameras[rows],
            labels=labels,
            present=present,
        )

    def _read_pictures(
        self, indices: Int64[np.ndarray, " B"], rows: Int64[np.ndarray, " B"]
    ) -> tuple[EncodedPicture, ...]:
        samples, annotations, memory = self.layout.samples, self.layout.annotations, self._memory

        def blobs(table: Table, places: np.ndarray) -> list[bytes]:
            starts = (table.offsets[places] + table.blob.offset).tolist()
            stops = (table.offsets[places + 1] + table.blob.offset).tolist()
            return [memory[start:stop] for start, stop in zip(starts, stops, strict=True)]

        images, masks = blobs(samples, indices), blobs(annotations, rows)
        return tuple(
            EncodedPicture(samples.keys[index], image, mask or None)
            for index, image, mask in zip(indices.tolist(), images, masks, strict=True)
        )

    @property
    def _columns(self) -> tuple[_Labels, _Labels]:
        """Return the columns that are read for every sample: those of its annotation, and its own."""
        if self._wanted is None:
            self._wanted = self._choose(self.layout.annotations), self._choose(self.layout.samples)
        return self._wanted

    @property
    def layout(self) -> Layout:
        """Return the layout of the file; read on first use."""
        if self._layout is None:
            layout = read_layout(self.path, self._memory)
            if self.samples not in (None, len(layout.rows)):
                found = f"{len(layout.rows):,} samples, expected {self.samples:,} as its index states"
                raise DataError(f"{self.path}: {found}; prepare the dataset again")
            self._layout = layout
        return self._layout

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the key of every sample, in order."""
        return self.layout.samples.keys

    @property
    def annotation_rows(self) -> np.ndarray:
        """Return, for every sample, the row of its annotation in the table of annotations."""
        return self.layout.rows

    def column(self, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of one label, a row per sample, and an array that marks the samples that have it.

        Other rows are zero; samples of the same annotation have equal rows. Raises: DataError if no sample has the
        label.
        """
        for table, rows in ((self.layout.annotations, self.layout.rows), (self.layout.samples, slice(None))):
            if label in table.labels:
                return np.array(self._view(table.labels[label])[rows]), table.present[label][rows]
        names = ", ".join(self.label_shapes) or "none"
        raise DataError(f"{self.path}: no label {label!r}; this shard contains {names}")

    @property
    def label_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of a single value of every label in this shard."""
        layout = self.layout
        return {name: c.shape[1:] for t in (layout.annotations, layout.samples) for name, c in t.labels.items()}

    @property
    def label_counts(self) -> dict[str, int]:
        """Return, for each label, how many rows of its table (samples or annotations) have it."""
        layout = self.layout
        return {name: int(has.sum()) for t in (layout.annotations, layout.samples) for name, has in t.present.items()}

    @property
    def annotation_count(self) -> int:
        """Return the number of annotated poses."""
        return len(self.layout.annotations.keys)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return the samples that were skipped when the shard was made."""
        return self.layout.problems

    def verify(self) -> Iterator[str]:
        """Read everything again and yield one line per checksum mismatch."""
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

    @property
    def _memory(self) -> mmap.mmap:
        """Return the mapped file; mapped on first use."""
        if self._map is None:
            self._map = map_file(self.path)
        return self._map

    def _view(self, column: Column) -> np.ndarray:
        """Return a column as a view of the mapped file."""
        if column not in self._views:
            self._views[column] = column.view(self._memory)
        return self._views[column]

    def _choose(self, table: Table) -> _Labels:
        """Return the columns of a table that are read for every sample."""
        wanted = table.labels if self.labels is None else table.labels.keys() & self.labels
        return tuple((name, self._view(table.labels[name]), table.present[name]) for name in sorted(wanted))

    def _read_labels(self, table: Table, row: int) -> dict[str, np.ndarray]:
        """Return all labels of a row."""
        has = {name: column for name, column in table.labels.items() if table.present[name][row]}
        return {name: np.array(self._view(column)[row]) for name, column in has.items()}

    def _read_blob(self, table: Table, row: int) -> bytes:
        start, stop = table.offsets[row : row + 2].tolist()
        return self._view(table.blob)[start:stop].tobytes()
