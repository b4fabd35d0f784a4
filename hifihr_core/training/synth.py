"""Hands made on the fly as the data of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hifihr_core.config.tree import DataSettings
from hifihr_core.data.synthesis import Synthesizer, SynthOptions
from hifihr_core.errors import ConfigError
from hifihr_core.hands import HandModel
from hifihr_core.records import Batch
from hifihr_core.training.distributed import World

#: Seed of validation hands, counted from the run's; training never comes there.
VALIDATION_SEED = 1_000_003

#: Side of the picture that is drawn to see which labels there are, pixels.
PROBE_PX = 32


@dataclass
class SynthBatches:
    """Epochs of `length` batches of new hands; batch n of a seed is always the same, and each process has its own."""

    synthesizer: Synthesizer
    world: World
    batch_size: int
    length: int
    epoch: int = 0
    start: int = 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self.length

    def __iter__(self) -> Iterator[Batch]:
        """Yield the rest of this epoch, then move on to the next."""
        step = self.batch_size * self.world.size
        while self.start < self.length * step:
            number = (self.epoch * self.length + self.start // step) * self.world.size + self.world.rank
            self.start += step
            yield self.synthesizer.make(number, self.batch_size)
        self.epoch, self.start = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Return the position: epoch, and draws of it by all processes."""
        return {"seed": self.synthesizer.seed, "epoch": self.epoch, "start": self.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position."""
        self.epoch, self.start = int(state["epoch"]), int(state["start"])


@dataclass(frozen=True)
class SynthData:
    """The data of a run that is made on the fly, with the hand of the run."""

    settings: DataSettings
    is_synthetic: bool = True
    joint_definitions: tuple[str, ...] = field(default=())

    def labels(self, hand: HandModel) -> dict[str, frozenset[str]]:
        """Return the labels that a made hand carries, as a small one shows."""
        options = SynthOptions(image_px=PROBE_PX)
        batch = Synthesizer(hand, options=options, device=hand.faces.device).make(0, 1)
        return {"synth": frozenset(name for name, has in batch.present.items() if bool(has.any())) | {"mask"}}

    def training(self, hand: HandModel, world: World, *, seed: int, batch_size: int) -> SynthBatches:
        """Return the training batches of this process."""
        return self._batches(hand, world, seed=seed, batch_size=batch_size, samples=self.settings.synth_epoch)

    def validation(self, hand: HandModel, world: World, *, batch_size: int) -> SynthBatches:
        """Return the validation batches of this process: hands of another seed."""
        limit = self.settings.validation_limit
        return self._batches(hand, world, seed=VALIDATION_SEED, batch_size=batch_size, samples=limit)

    def _batches(self, hand: HandModel, world: World, *, seed: int, batch_size: int, samples: int) -> SynthBatches:
        own = batch_size // world.size
        if own * world.size != batch_size:
            raise ConfigError(f"train.batch_size: found {batch_size}, expected a multiple of {world.size} processes")
        return SynthBatches(self._synthesizer(hand, world, seed=seed), world, own, max(1, samples // batch_size))

    def _synthesizer(self, hand: HandModel, world: World, *, seed: int) -> Synthesizer:
        options = SynthOptions(image_px=self.settings.image_px)
        return Synthesizer(hand, seed=seed, options=options, device=world.device)
