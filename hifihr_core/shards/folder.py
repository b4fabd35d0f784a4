"""A folder of shards as one sequence of samples."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from hifihr_core.errors import DataError
from hifihr_core.outside.folders import walk
from hifihr_core.outside.whole_files import sha256_of
from hifihr_core.sample_batches import SampleBatch, read_by_owner
from hifihr_core.samples import Sample
from hifihr_core.shards.reader import ShardReader
from hifihr_core.shards.schema import INDEX_NAME, ShardIndex, read_index


class ShardSet:
    """All samples of a finished shard folder, by position; cheap to build and picklable.

    `starts[s]` is the position of the first sample of shard s; the last entry is the number of samples. `labels`
    restricts what is read; None reads every label. Raises: DataError if the folder is unfinished, or a shard is missing
    or differs in length from the index.
    """

    def __init__(self, folder: Path | str, *, labels: Collection[str] | None = None) -> None:
        self.folder = Path(folder)
        self.index: ShardIndex = read_index(self.folder)
        self.readers: Sequence[ShardReader] = tuple(
            ShardReader(self.folder / shard.file, labels=labels, samples=shard.samples) for shard in self.index.shards
        )
        self.starts: tuple[int, ...] = (0, *np.cumsum([shard.samples for shard in self.index.shards]).tolist())
        for shard in self.index.shards:
            _check_size(self.folder / shard.file, shard.bytes)

    def __len__(self) -> int:
        """Return the number of samples (pictures)."""
        return self.starts[-1]

    def __getitem__(self, position: int) -> Sample:
        """Read one sample; negative positions count from the end. Raises: IndexError if there is no such position."""
        shard, row = self.locate(position)
        return self.readers[shard][row]

    def read(self, positions: Int64[np.ndarray, " B"]) -> SampleBatch:
        """Read several samples at once, shard by shard; they are returned in the order of `positions`.

        Raises: IndexError if a position is not in 0 to N - 1; DataError if a label differs in size between shards.
        """
        shards = np.searchsorted(self.starts, positions, side="right") - 1
        rows = positions - np.take(self.starts, shards)
        return read_by_owner(shards, rows, lambda shard, some: self.readers[shard].read(some))

    def __iter__(self) -> Iterator[Sample]:
        """Yield all samples in order."""
        return (self[position] for position in range(len(self)))

    @property
    def has_masks(self) -> bool:
        """Return whether any sample has a mask."""
        return any(np.diff(reader.layout.annotations.offsets).any() for reader in self.readers)

    def rows_of(self, shard: int) -> Int64[np.ndarray, " N"]:
        """Return, for every sample in a shard, the row of its annotation in this shard."""
        return self.readers[shard].annotation_rows.astype(np.int64)

    def locate(self, position: int) -> tuple[int, int]:
        """Return the shard that contains a position, and the row in this shard.

        Raises: IndexError if there is no such position.
        """
        if not -len(self) <= position < len(self):
            raise IndexError(f"position {position} is not in a dataset of {len(self)} samples")
        position %= len(self)
        shard = bisect_right(self.starts, position) - 1
        return shard, position - self.starts[shard]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the key of every sample, in order; reads the header of every shard."""
        return tuple(key for reader in self.readers for key in reader.keys)

    def column(self, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of one label, a row per sample, and an array that marks the samples that have it.

        Other rows are zero. Raises: DataError if no shard has the label, or its shape differs between shards.
        """
        shapes = [reader.label_shapes[label] for reader in self.readers if label in reader.label_shapes]
        if not shapes:
            known = dict.fromkeys(name for reader in self.readers for name in reader.label_shapes)
            raise DataError(f"{self.folder}: no label {label!r}; its shards contain {', '.join(known) or 'none'}")
        if len(set(shapes)) != 1:
            raise DataError(
                f"{self.folder}: the label {label} has a different shape in some shards: {shapes}; prepare the dataset "
                "again"
            )
        parts = [_column_or_nothing(reader, label, shapes[0]) for reader in self.readers]
        return np.concatenate([values for values, _ in parts]), np.concatenate([present for _, present in parts])


def verify(folder: Path | str) -> Iterator[str]:
    """Check every file and row of a shard folder, and yield one line per difference.

    Raises: DataError if the folder's index is missing or broken.
    """
    folder = Path(folder)
    index = read_index(folder)
    for shard in index.shards:
        path = folder / shard.file
        try:
            _check_size(path, shard.bytes)
            if sha256_of(path) != shard.sha256:
                yield f"{path}: the file differs from the one that was prepared (SHA-256)"
            reader = ShardReader(path)
            yield from reader.verify()
            if (len(reader), reader.annotation_count) != (shard.samples, shard.annotations):
                found = f"number of samples {len(reader)}, of annotations {reader.annotation_count}"
                yield f"{path}: {found}; expected {shard.samples} and {shard.annotations}"
        except DataError as error:
            yield str(error)
    known = {shard.file for shard in index.shards} | {INDEX_NAME}
    for stray in sorted(path for path in folder.glob("*.h5") if path.name not in known):
        yield f"{stray}: not listed in {INDEX_NAME}"


def find_shard_folders(folder: Path | str) -> list[Path]:
    """Return the finished shard folders at or below `folder`. Raises: DataError if there are none."""
    folder = Path(folder)
    found = [path for path, _, names in walk(folder) if INDEX_NAME in names]
    if not found:
        read_index(folder)
    return found


def _check_size(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        state = "missing" if found is None else f"{found:,} bytes"
        raise DataError(f"{path}: {state}, expected {size:,} bytes; prepare the dataset again with --overwrite")


def _column_or_nothing(reader: ShardReader, label: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return what ``reader.column(label)`` returns, or zeros and no marks if this shard does not have the label."""
    if label in reader.label_shapes:
        return reader.column(label)
    return np.zeros((len(reader), *shape), np.float32), np.zeros(len(reader), bool)
