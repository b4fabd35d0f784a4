"""The input of a stream: samples by position, in local or remote shards, or subsets of them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from hifihr_core.sample_batches import SampleBatch, stack_samples
from hifihr_core.samples import Sample


@runtime_checkable
class Samples(Protocol):
    """Samples by position: a `ShardSet`, a list, or a concatenation of several."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> Sample: ...


@runtime_checkable
class Columns(Protocol):
    """Samples whose labels can be read as columns, which is faster for a batch."""

    def read(self, positions: Int64[np.ndarray, " B"], /) -> SampleBatch:
        """Read several samples."""
        ...


@runtime_checkable
class Distant(Protocol):
    """Samples in a remote store, read shard by shard: only `window` shards should be in use at a time."""

    @property
    def window(self) -> int:
        """Return how many shards may be read at the same time."""
        ...

    @property
    def shards(self) -> Int64[np.ndarray, " N"]:
        """Return the shard of every sample."""
        ...

    def expect(self, order: Int64[np.ndarray, " N"]) -> None:
        """Announce the order in which samples will be read."""
        ...


def read_samples(samples: Samples, positions: Int64[np.ndarray, " B"]) -> SampleBatch:
    """Read samples together if their set supports it, else one by one."""
    if isinstance(samples, Columns):
        return samples.read(positions)
    return stack_samples([samples[position] for position in positions.tolist()])


@dataclass(frozen=True)
class ChosenSamples:
    """A subset of samples, by their positions in another set."""

    samples: Samples
    positions: Int64[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: int) -> Sample:
        return self.samples[int(self.positions[number])]

    def read(self, numbers: Int64[np.ndarray, " B"]) -> SampleBatch:
        """Read several samples."""
        return read_samples(self.samples, self.positions[numbers])
