"""Write one shard: labels are collected in memory, pictures in temporary files; the shard appears once it is complete.

The same samples always give the same bytes: no timestamps, a fixed HDF5 version range, contiguous datasets.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from hifihr_core.files import write_atomically
from hifihr_core.outside.whole_files import sha256_of
from hifihr_core.samples import Sample
from hifihr_core.shards.schema import (
    ANNOTATIONS,
    FORMAT,
    FORMAT_VERSION,
    PER_IMAGE,
    SAMPLES,
    DatasetFacts,
    Problem,
    ShardFacts,
    annotation_checksum,
    find_problem,
    sample_checksum,
)

_BLOCK_BYTES = 4 << 20
#: Room for keys and HDF5's tables.
_ROOM_BYTES = 4 << 20
_SIDES = {"right": 0, "left": 1}


def write_shard(
    path: Path, rows: Iterable[Sample | Problem], *, facts: DatasetFacts, software: str
) -> tuple[ShardFacts, tuple[Problem, ...]]:
    """Write samples to one HDF5 file; return its contents and the samples that were skipped.

    Samples of one annotation must be consecutive and share K, mask, side and labels (except those in `PER_IMAGE`).
    Only labels are kept in memory; images and masks go to temporary files beside `path`.
    Raises: ValueError if an annotation appears twice or its samples disagree; DataError if it cannot be written.
    """
    with ExitStack() as stack:
        part = stack.enter_context(write_atomically(path))
        images = _Blob(stack.enter_context(tempfile.TemporaryFile(dir=path.parent)))
        masks = _Blob(stack.enter_context(tempfile.TemporaryFile(dir=path.parent)))
        collector = _Collector(images, masks)
        for row in rows:
            collector.add(row)
        _check_room(path.parent, collector.count_bytes())
        with h5py.File(part, "w", libver=("earliest", "v110"), track_order=False, locking=False) as file:
            _write_attributes(file, facts, software, collector.problems)
            collector.write(file)
        summary = ShardFacts(
            file=path.name,
            samples=len(collector.sample_keys),
            annotations=len(collector.annotation_keys),
            bytes=part.stat().st_size,
            sha256=sha256_of(part),
        )
    return summary, tuple(collector.problems)


def _check_room(folder: Path, size: int) -> None:
    """Raise OSError if the disk is too full for `size` bytes: HDF5 would crash the process when it closes the file."""
    if shutil.disk_usage(folder).free < size + _ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Blob:
    """Byte strings of any length, appended to a temporary file, with their offsets."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.offsets = [0]

    def add(self, content: bytes) -> None:
        self.file.write(content)
        self.offsets.append(self.offsets[-1] + len(content))

    def write(self, group: h5py.Group, name: str) -> None:
        """Write `name`/offsets and `name`/bytes; row i is ``bytes[offsets[i]:offsets[i + 1]]``."""
        target = group.create_group(name)
        _write(target, "offsets", np.asarray(self.offsets, "<i8"))
        data = target.create_dataset("bytes", (self.offsets[-1],), "u1", track_times=False)
        self.file.seek(0)
        for start in range(0, self.offsets[-1], _BLOCK_BYTES):
            block = self.file.read(_BLOCK_BYTES)
            data[start : start + len(block)] = np.frombuffer(block, np.uint8)


class _Collector:
    """The rows of both tables, collected in order."""

    def __init__(self, images: _Blob, masks: _Blob) -> None:
        self.images, self.masks = images, masks
        self.problems: list[Problem] = []
        self.sample_keys: list[str] = []
        self.sample_rows: list[int] = []
        self.sample_labels: list[dict[str, np.ndarray]] = []
        self.sample_checksums: list[int] = []
        self.annotation_keys: dict[str, int] = {}
        self.annotation_labels: list[dict[str, np.ndarray]] = []
        self.annotation_checksums: list[int] = []
        self.cameras: list[np.ndarray] = []
        self.sides: list[int] = []
        self.last: Sample | None = None

    def add(self, row: Sample | Problem) -> None:
        """Add one row; a sample that violates the schema becomes a problem.

        Raises: ValueError if an annotation appears twice, or its samples disagree.
        """
        if isinstance(row, Problem):
            self.problems.append(row)
            return
        reason = find_problem(row, sibling=self.last)
        if reason:
            self.problems.append(Problem(key=row.key, reason=reason))
            return
        if self.last is None or row.annotation != self.last.annotation:
            self._add_annotation(row)
        elif not _agree(row, self.last):
            raise ValueError(
                f"samples {self.last.key} and {row.key} share an annotation but differ in K, mask, side or labels, "
                "which must be the same"
            )
        labels = {name: value for name, value in row.labels.items() if name in PER_IMAGE}
        self.sample_keys.append(row.key)
        self.sample_rows.append(len(self.cameras) - 1)
        self.sample_labels.append(labels)
        self.sample_checksums.append(sample_checksum(row.key, row.image, labels))
        self.images.add(row.image)
        self.last = row

    def _add_annotation(self, row: Sample) -> None:
        if row.annotation in self.annotation_keys:
            raise ValueError(f"annotation {row.annotation} appears twice; its samples must be consecutive")
        labels = {name: value for name, value in row.labels.items() if name not in PER_IMAGE}
        K = row.K.astype(np.float32)
        self.annotation_keys[row.annotation] = len(self.cameras)
        self.annotation_labels.append(labels)
        self.annotation_checksums.append(annotation_checksum(row.annotation, K, row.mask, labels))
        self.cameras.append(K)
        self.sides.append(_SIDES[row.side])
        self.masks.add(row.mask or b"")

    def count_bytes(self) -> int:
        """Return the size of the file, without HDF5's own tables."""
        blobs = self.images.offsets[-1] + self.masks.offsets[-1]
        return blobs + _count_label_bytes(self.sample_labels) + _count_label_bytes(self.annotation_labels)

    def write(self, file: h5py.File) -> None:
        samples = file.create_group(SAMPLES)
        _write(samples, "key", _encode(self.sample_keys))
        _write(samples, "annotation", np.asarray(self.sample_rows, "<i8"))
        _write(samples, "checksum", np.asarray(self.sample_checksums, "<u4"))
        self.images.write(samples, "image")
        _write_labels(samples, self.sample_labels)
        annotations = file.create_group(ANNOTATIONS)
        _write(annotations, "key", _encode(list(self.annotation_keys)))
        _write(annotations, "K", np.asarray(self.cameras, "<f4").reshape(-1, 3, 3))
        _write(annotations, "side", np.asarray(self.sides, "u1"))
        _write(annotations, "checksum", np.asarray(self.annotation_checksums, "<u4"))
        self.masks.write(annotations, "mask")
        _write_labels(annotations, self.annotation_labels)


def _count_label_bytes(rows: Sequence[Mapping[str, np.ndarray]]) -> int:
    sizes = {name: value.nbytes + 1 for row in rows for name, value in row.items()}
    return len(rows) * sum(sizes.values())


def _agree(sample: Sample, other: Sample) -> bool:
    """Return whether two samples have the same side, mask, K and labels, except for labels of a single picture."""
    if sample.side != other.side or sample.mask != other.mask or not _same(sample.K, other.K):
        return False
    names = sample.labels.keys() - PER_IMAGE
    return names == other.labels.keys() - PER_IMAGE and all(_same(sample.labels[n], other.labels[n]) for n in names)


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    return left is right or np.array_equal(left, right)


def _encode(keys: Sequence[str]) -> np.ndarray:
    """Return keys as an array of UTF-8 byte strings, all as long as the longest."""
    return np.asarray([key.encode() for key in keys] or [b""], "S")[: len(keys)]


def _write(group: h5py.Group, name: str, values: np.ndarray) -> None:
    group.create_dataset(name, data=values, track_times=False)


def _write_labels(group: h5py.Group, rows: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write one array per label that any row has, with zeros for rows without it; `present` marks the rows with it."""
    values, present = group.create_group("labels"), group.create_group("present")
    for name in sorted({name for row in rows for name in row}):
        shape = next(row[name].shape for row in rows if name in row)
        column = values.create_dataset(name, (len(rows), *shape), "<f4", track_times=False)
        has = np.asarray([name in row for row in rows], "u1")
        empty = np.zeros(shape, np.float32)
        step = max(1, _BLOCK_BYTES // max(1, empty.nbytes))
        for start in range(0, len(rows), step):
            column[start : start + step] = np.stack([row.get(name, empty) for row in rows[start : start + step]])
        _write(present, name, has)


def _write_attributes(file: h5py.File, facts: DatasetFacts, software: str, problems: Sequence[Problem]) -> None:
    attributes: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, "software": software}
    attributes |= {name: "" if value is None else value for name, value in facts.model_dump(mode="json").items()}
    for name, value in attributes.items():
        file.attrs[name] = value
    # Attributes are limited to 64 KiB; a list of problems may be longer.
    text = json.dumps([problem.model_dump() for problem in problems]).encode()
    _write(file, "problems", np.frombuffer(text, "u1"))
