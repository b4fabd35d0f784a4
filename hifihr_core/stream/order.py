"""The order of samples: a pure function of (seed, epoch), divided into batches per rank.

An epoch is one array of sample indices, the same on every rank. A training step takes the next `batch_size` times
`world_size` of them, and each rank its own slice, so the position in an epoch is a single number, `start`, for any
number of ranks and workers: a run resumes at the exact sample, even on a different number of GPUs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from hifihr_core.randomness import shuffled

Order = Int64[np.ndarray, " N"]


@dataclass(frozen=True)
class Share:
    """The share of this process in every step: that of number `rank` (from 0) of `world_size` processes."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank is {self.rank}, expected 0 to {self.world_size - 1}")


def epoch_order(length: int, *, seed: int, epoch: int, shuffle: bool = True) -> Order:
    """Return the order of one epoch over one dataset: every sample once."""
    return shuffled(length, seed, epoch, "order") if shuffle else np.arange(length)


def mixed_order(
    lengths: Sequence[int], weights: Sequence[float], *, seed: int, epoch: int, epoch_length: int | None = None
) -> Order:
    """Return one epoch over several concatenated datasets, each with its share of the draws.

    Dataset d gets ``epoch_length * weights[d] / sum(weights)`` draws, rounded so that they add up, which are spread
    over the epoch at random. Its draws follow one permutation of its samples after another and continue across epochs,
    so that in the long run all its samples are used equally often, whatever its weight. `epoch_length` defaults to the
    total length. Raises: ValueError if the weights do not fit the datasets.
    """
    if len(weights) != len(lengths) or min(weights) < 0 or not sum(weights) > 0:
        raise ValueError(f"weights are {list(weights)}, expected {len(lengths)} numbers >= 0 with a positive sum")
    counts = _share_out(sum(lengths) if epoch_length is None else epoch_length, weights)
    if any(count and not length for count, length in zip(counts, lengths, strict=True)):
        raise ValueError(f"lengths are {list(lengths)}, expected samples in every dataset with a weight above 0")
    first = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)
    draws = [
        first[d] + _walk(length, epoch * count, (epoch + 1) * count, seed=seed, dataset=d)
        for d, (length, count) in enumerate(zip(lengths, counts, strict=True))
    ]
    together = np.concatenate(draws)
    return together[shuffled(len(together), seed, epoch, "mixture")]


def in_windows(draws: Order, shards: Order, *, window: int, seed: int, epoch: int) -> Order:
    """Reorder the draws of one dataset so that at most `window` of its shards are in use at a time.

    `shards` is the number of the shard that contains each sample. In each epoch, shards are shuffled and divided into
    groups of `window`. All draws from one group come before those from the next group; within a group, draws keep their
    order.
    """
    count = int(shards.max(initial=-1)) + 1
    place = np.empty(count, np.int64)
    place[shuffled(count, seed, epoch, "shards")] = np.arange(count)
    return draws[np.argsort(place[shards[draws]] // window, kind="stable")]


def _share_out(total: int, weights: Sequence[float]) -> list[int]:
    """Return `total` divided in proportion to the weights; cumulative rounding ensures that the parts add up."""
    bounds = np.rint(np.cumsum([0.0, *weights]) / sum(weights) * total).astype(int)
    return np.diff(bounds).tolist()


def _walk(length: int, begin: int, end: int, *, seed: int, dataset: int) -> Order:
    """Return draws `begin` to `end` of an endless sequence over a dataset: one permutation after another."""
    if begin == end:
        return np.zeros(0, np.int64)
    laps = range(begin // length, (end - 1) // length + 1)
    walk = np.concatenate([shuffled(length, seed, lap, f"lap of dataset {dataset}") for lap in laps])
    offset = laps.start * length
    return walk[begin - offset : end - offset]


def batches(
    order: Order, batch_size: int, *, share: Share | None = None, start: int = 0, drop_last: bool = True
) -> Iterator[Order]:
    """Yield this rank's batches of an epoch, from draw `start` on (counted over all ranks).

    With `drop_last`, every rank gets the same number of full batches, as synchronous training needs; samples at
    the end of an epoch that are too few for a step are omitted, different ones in each epoch. Otherwise the ranks
    share this remainder as evenly as possible, and some may get one batch fewer.
    """
    share = share or Share()
    step = batch_size * share.world_size
    for begin in range(start, len(order), step):
        taken = order[begin : begin + step]
        if len(taken) < step and drop_last:
            return
        own = np.array_split(taken, share.world_size)[share.rank]
        if len(own):
            yield own


def count_batches(length: int, batch_size: int, *, share: Share | None = None, drop_last: bool = True) -> int:
    """Return how many batches `batches` yields on this rank for an epoch of `length` samples."""
    share = share or Share()
    full, rest = divmod(length, batch_size * share.world_size)
    return full if drop_last else full + (rest > share.rank)
