"""The stream for training and evaluation: batches in an order that depends only on (seed, epoch).

Threads of this process prepare whole batches ahead: a worker reads, decodes and augments all samples of one batch.
Decoding and augmentation release the interpreter lock, and nothing is copied between processes. The order and the
random numbers, and so every batch, are the same for any number of workers, and the position in an epoch is a single
number.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from hifihr_core.augmentation.draws import AugmentRanges
from hifihr_core.records import Batch
from hifihr_core.sample_batches import read_by_owner
from hifihr_core.stream.batching import CropPlan, PaintedBatch
from hifihr_core.stream.order import Share, batches, count_batches, epoch_order, in_windows, mixed_order
from hifihr_core.stream.painting import EncodedBatch
from hifihr_core.stream.sample_sets import Distant, Samples, read_samples
from hifihr_core.stream.workers import map_ahead, start_workers

T = TypeVar("T")


@dataclass(frozen=True)
class StreamPart:
    """One dataset in a stream.

    An epoch takes samples of each dataset in proportion to its `weight`; if all weights are None, an epoch takes every
    sample once. `hand_scale` determines what the network sees: the whole picture if it is None, else a square around
    the hand, whose side is this multiple of the side of the hand's box.
    """

    samples: Samples
    weight: float | None = None
    hand_scale: float | None = None


@dataclass(frozen=True)
class StreamOptions:
    """How samples become batches. With `augment=None` crops are not augmented, as evaluation needs.

    `decode` is where pictures are decoded and augmented: in the workers, or on the training device, which then gets
    encoded pictures from the workers. `epoch_length` is the number of samples in an epoch if parts have weights; None
    means the total number of samples. `drop_last` omits the last batch of an epoch if it is not full.
    """

    batch_size: int
    image_px: int = 224
    seed: int = 0
    shuffle: bool = True
    drop_last: bool = True
    augment: AugmentRanges | None = None
    epoch_length: int | None = None
    decode: Literal["workers", "device"] = "workers"

    @property
    def plan(self) -> CropPlan:
        """Return the options that affect a single batch."""
        return CropPlan(image_px=self.image_px, seed=self.seed, augment=self.augment)


@dataclass(frozen=True)
class _Ask:
    """A worker's task: the samples of one batch, and the epoch for their augmentation."""

    epoch: int
    positions: tuple[int, ...]


class _Position:
    """The position of a stream (an epoch and the number of samples used in it), and the tasks from there on."""

    def __init__(self, parts: Sequence[StreamPart], options: StreamOptions, share: Share) -> None:
        self.samples = [part.samples for part in parts]
        self.lengths = [len(part.samples) for part in parts]
        self.weights = [part.weight for part in parts]
        self.options, self.share = options, share
        self.epoch, self.start = 0, 0

    def order(self) -> np.ndarray:
        """Return the order of the current epoch's samples: their positions in the concatenated parts."""
        order, first = self._drawn(), 0
        for samples, length in zip(self.samples, self.lengths, strict=True):
            if isinstance(samples, Distant):
                own = (order >= first) & (order < first + length)
                if self.options.shuffle:
                    ordered = in_windows(
                        order[own] - first,
                        samples.shards,
                        window=samples.window,
                        seed=self.options.seed,
                        epoch=self.epoch,
                    )
                    order[own] = ordered + first
                samples.expect(order[own][own[: self.start].sum() :] - first)
            first += length
        return order

    def _drawn(self) -> np.ndarray:
        """Return the order of the current epoch's samples, before those in remote stores are grouped by shard."""
        options = self.options
        if all(weight is None for weight in self.weights):
            return epoch_order(sum(self.lengths), seed=options.seed, epoch=self.epoch, shuffle=options.shuffle)
        return mixed_order(
            self.lengths,
            [1.0 if weight is None else weight for weight in self.weights],
            seed=options.seed,
            epoch=self.epoch,
            epoch_length=options.epoch_length,
        )

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch on this rank."""
        weighted = any(weight is not None for weight in self.weights)
        draws = self.options.epoch_length if weighted else None
        length = sum(self.lengths) if draws is None else draws
        return count_batches(length, self.options.batch_size, share=self.share, drop_last=self.options.drop_last)

    def __iter__(self) -> Iterator[_Ask]:
        """Yield the tasks of the rest of the epoch."""
        options, epoch = self.options, self.epoch
        own = batches(self.order(), options.batch_size, share=self.share, start=self.start, drop_last=options.drop_last)
        return (_Ask(epoch, tuple(positions.tolist())) for positions in own)


class BatchStream:
    """Endless epochs of batches over one or more datasets, resumable at any batch.

    ``for batch in stream`` yields the rest of the current epoch and moves on to the next one. Each of the `num_workers`
    threads prepares up to `prefetch` batches ahead; without threads, a batch is made when it is requested. `state_dict`
    counts only batches given to the caller. With a CUDA `device`, pixels are copied there as bytes from page-locked
    memory while earlier work continues; on the CPU, the workers make complete batches.
    """

    def __init__(
        self,
        parts: Sequence[StreamPart],
        options: StreamOptions,
        *,
        share: Share | None = None,
        num_workers: int = 0,
        prefetch: int = 2,
        device: torch.device | str = "cpu",
    ) -> None:
        self.options, self.share = options, share or Share()
        self.device = torch.device(device)
        self._parts = tuple(parts)
        self._first = np.cumsum([0, *(len(part.samples) for part in parts)])
        self._position = _Position(parts, options, self.share)
        self._ahead = num_workers * prefetch
        self._pool = start_workers(num_workers, self.device) if num_workers else None

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch on this rank."""
        return len(self._position)

    @property
    def epoch(self) -> int:
        """Return the number of the current epoch, from 0."""
        return self._position.epoch

    def painted(self) -> Iterator[PaintedBatch | EncodedBatch]:
        """Yield the workers' output for the rest of this epoch, not yet on a GPU; then move on to the next epoch."""
        return self._advance(self._paint)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the rest of this epoch, on the device; then move on to the next epoch."""
        if self.device.type == "cpu":
            return self._advance(self._finish)
        return (painted.to_batch(self.device) for painted in self.painted())

    def state_dict(self) -> dict[str, int]:
        """Return the position: the seed, the epoch, and the number of its samples that all ranks together have used."""
        return {"seed": self.options.seed, "epoch": self._position.epoch, "start": self._position.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a position that `state_dict` returned. Raises: ValueError if that stream had another seed."""
        if state["seed"] != self.options.seed:
            raise ValueError(f"the position has seed {state['seed']}, expected that of the stream, {self.options.seed}")
        self._position.epoch, self._position.start = int(state["epoch"]), int(state["start"])

    def _advance(self, make: Callable[[_Ask], T]) -> Iterator[T]:
        """Yield the results of `make` for the rest of this epoch, in order; the position advances with every batch."""
        position = self._position
        made = map(make, position) if self._pool is None else map_ahead(self._pool, make, position, ahead=self._ahead)
        for batch in made:
            position.start += self.options.batch_size * self.share.world_size
            yield batch
        position.epoch, position.start = position.epoch + 1, 0

    def _finish(self, ask: _Ask) -> Batch:
        """Return a complete batch for use on the CPU."""
        encoded = self._read(ask)
        return encoded.to_batch() if self.options.decode == "device" else encoded.paint(floats=True).to_batch()

    def _paint(self, ask: _Ask) -> PaintedBatch | EncodedBatch:
        """Return the samples of a batch for another device: encoded if that device decodes them, else painted."""
        encoded = self._read(ask)
        if self.options.decode == "device":
            return encoded
        painted = encoded.paint()
        return painted.pin_memory() if self.device.type == "cuda" else painted

    def _read(self, ask: _Ask) -> EncodedBatch:
        """Return the samples of a batch as stored, read dataset by dataset."""
        positions = np.array(ask.positions)
        owners = np.searchsorted(self._first, positions, side="right") - 1
        numbers = positions - self._first[owners]
        return EncodedBatch(
            samples=read_by_owner(owners, numbers, lambda owner, some: read_samples(self._parts[owner].samples, some)),
            hand_scales=tuple(self._parts[owner].hand_scale for owner in owners.tolist()),
            plan=self.options.plan,
            epoch=ask.epoch,
        )
