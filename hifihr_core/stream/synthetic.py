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
    """Maps a batch number to its hands; lives in the workers."""

    synthesizer: Synthesizer
    batch_size: int

    def __getitem__(self, number: int) -> Batch:
        return self.synthesizer.make(number, self.batch_size)


class _Numbers:
    """The position of a process, and the batches to draw from there on."""

    def __init__(self, share: Share, batch_size: int, length: int, repeats: int) -> None:
        self.share, self.length, self.repeats = share, length, repeats
        self.step = batch_size * share.world_size
        self.epoch, self.start = 0, 0

    @property
    def given(self) -> int:
        """Return how many batches of this epoch have been given."""
        return self.start // self.step

    def drawn(self) -> range:
        """Return the positions in the epoch to draw: those to come, and those to be repeated."""
        first = self.given // self.repeats - (POOL if self.repeats > 1 else 0)
        return range(max(0, first), -(-self.length // self.repeats))

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * -(-self.length // self.repeats)
        return ((first + place) * self.share.world_size + self.share.rank for place in self.drawn())


class SynthBatches:
    """Epochs of `length` batches of new hands; the same seed and position always give the same hands, and each process
    draws its own.

    `workers` processes render ahead, but only on a CPU: a GPU renders faster by itself. With `repeats` above 1, each
    new batch is followed by re-augmented batches from a pool of recent ones: on a CPU, rendering a hand takes longer
    than a training step. Every sample is used `repeats` times on average.
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
        """Return the number of batches of an epoch."""
        return self._numbers.length

    def __iter__(self) -> Iterator[Batch]:
        """Yield the rest of this epoch, then move on to the next."""
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
        """Return a re-augmented batch of samples from the pool; `place` counts the batches of the epoch."""
        numbers = self._numbers
        bits = int(stream_bits(self.seed, numbers.epoch * numbers.length + place, numbers.share.rank, "again")[0])
        return vary(pool[bits % len(pool)], AugmentRanges(), seed=self.seed, epoch=bits >> 32)

    def state_dict(self) -> dict[str, int]:
        """Return the position: the seed, the epoch, and its start over all processes."""
        return {"seed": self.seed, "epoch": self._numbers.epoch, "start": self._numbers.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position."""
        self._numbers.epoch, self._numbers.start = int(state["epoch"]), int(state["start"])


def start_worker(worker: int) -> None:
    """Keep a worker to a single thread; the user chooses the number of workers.

    Workers ignore signals sent to the process group: training handles them at the end of a step, and then stops its
    workers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    numba.set_num_threads(1)
