"""The input of a stream: samples that are read by position, from local or remote shards, and subsets of them."""

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
    """Samples that can be read several at a time, each label as one array, which is faster for a batch."""

    def read(self, positions: Int64[np.ndarray, " B"], /) -> SampleBatch:
        """Return the samples at several positions."""
        ...


@runtime_checkable
class Distant(Protocol):
    """Samples in a remote store, read shard by shard: only `window` shards should be in use at a time."""

    @property
    def window(self) -> int:
        """Return how many shards may be in use at the same time."""
        ...

    @property
    def shards(self) -> Int64[np.ndarray, " N"]:
        """Return the number of the shard that contains each sample."""
        ...

    def expect(self, order: Int64[np.ndarray, " N"]) -> None:
        """Announce the positions of the samples that will be read from now on, in order."""
        ...


def read_samples(samples: Samples, positions: Int64[np.ndarray, " B"]) -> SampleBatch:
    """Return the samples at these positions, read together if `samples` supports it, else one by one."""
    if isinstance(samples, Columns):
        return samples.read(positions)
    return stack_samples([samples[position] for position in positions.tolist()])


@dataclass(frozen=True)
class ChosenSamples:
    """A subset of `samples`: those at `positions`."""

    samples: Samples
    positions: Int64[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: int) -> Sample:
        return self.samples[int(self.positions[number])]

    def read(self, numbers: Int64[np.ndarray, " B"]) -> SampleBatch:
        """Return several samples of the subset."""
        return read_samples(self.samples, self.positions[numbers])
