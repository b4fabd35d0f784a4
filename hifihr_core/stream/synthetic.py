"""Synthetic hands as a stream: batches rendered on the fly, resumable at any batch."""

import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numba
import torch
from torch.utils.data import DataLoader, Dataset

from hifihr_core.augmentation.draws import AugmentRanges
from hifihr_core.machine.freed_memory import keep_freed_memory
from hifihr_core.randomness import stream_bits
from hifihr_core.records import Batch
from hifihr_core.stream.order import Share
from hifihr_core.stream.painting import vary
from hifihr_core.synthesis import Synthesizer

#: Number of batches that each worker prepares ahead.
_DRAWN_AHEAD = 3

#: Number of recent batches in the pool for repeats.
POOL = 48


@dataclass(frozen=True)
class _Drawing(Dataset[Batch]):
    """A dataset whose item n is synthetic batch n; each worker has a copy."""

    synthesizer: Synthesizer
    batch_size: int

    def __getitem__(self, number: int) -> Batch:
        return self.synthesizer.make(number, self.batch_size)


class _Numbers:
    """The position of a process: an epoch and the samples already given (`start`); iterating gives batch numbers.

    These are the numbers of the batches to render in the rest of the epoch.
    """

    def __init__(self, share: Share, batch_size: int, length: int, repeats: int) -> None:
        self.share, self.length, self.repeats = share, length, repeats
        self.step = batch_size * share.world_size
        self.epoch, self.start = 0, 0

    @property
    def given(self) -> int:
        """Return how many batches of this epoch this process has given to the caller."""
        return self.start // self.step

    def drawn(self) -> range:
        """Return which of the epoch's new batches to render: those to come and, for repeats, the latest before them."""
        first = self.given // self.repeats - (POOL if self.repeats > 1 else 0)
        return range(max(0, first), -(-self.length // self.repeats))

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * -(-self.length // self.repeats)
        return ((first + place) * self.share.world_size + self.share.rank for place in self.drawn())


class SynthBatches:
    """Epochs of `length` batches of synthetic hands; the same seed and position always give the same hands.

    Each process has its own hands. On a CPU, `workers` processes render ahead; a GPU renders fast enough without them.
    With `repeats` above 1, each new batch is followed by ``repeats - 1`` re-augmented batches from a pool of recent
    ones, since rendering a hand on a CPU takes longer than training on it; every sample is then used `repeats` times on
    average.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        share: Share,
        batch_size: int,
        length: int,
        *,
        workers: int = 0,
        repeats: int = 1,
    ) -> None:
        self.seed = synthesizer.seed
        self._numbers = _Numbers(share, batch_size, length, repeats)
        workers = workers if synthesizer.device.type == "cpu" else 0
        self._loader: DataLoader[Batch] = DataLoader(
            _Drawing(synthesizer, batch_size),
            sampler=self._numbers,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=_DRAWN_AHEAD if workers else None,
            persistent_workers=workers > 0,
            # A forked child of a process that has rendered would hang waiting for threads that it lacks.
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=start_worker,
        )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self._numbers.length

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the rest of this epoch, then move on to the next epoch."""
        numbers, repeats = self._numbers, self._numbers.repeats
        given, drawn = numbers.given, numbers.drawn()
        pool: deque[Batch] = deque(maxlen=POOL)
        for place, batch in zip(drawn, self._loader, strict=True):
            pool.append(batch)
            for turn in range(max(0, given - place * repeats), min(repeats, numbers.length - place * repeats)):
                numbers.start += numbers.step
                yield batch if turn == 0 else self._again(pool, place * repeats + turn)
        numbers.epoch, numbers.start = numbers.epoch + 1, 0

    def _again(self, pool: Sequence[Batch], place: int) -> Batch:
        """Return a random batch from the pool, augmented again; `place` is the number of the result in its epoch."""
        numbers = self._numbers
        bits = int(stream_bits(self.seed, numbers.epoch * numbers.length + place, numbers.share.rank, "again")[0])
        return vary(pool[bits % len(pool)], AugmentRanges(), seed=self.seed, epoch=bits >> 32)

    def state_dict(self) -> dict[str, int]:
        """Return the position: the seed, the epoch, and the number of its samples that all processes have used."""
        return {"seed": self.seed, "epoch": self._numbers.epoch, "start": self._numbers.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a position that `state_dict` returned."""
        self._numbers.epoch, self._numbers.start = int(state["epoch"]), int(state["start"])


def start_worker(worker: int) -> None:
    """Initialise a worker process: libraries use one thread each, since the user chooses the number of workers.

    Workers ignore SIGINT and SIGTERM: training handles them at the end of a step, and then stops its workers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    numba.set_num_threads(1)
