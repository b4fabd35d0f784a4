"""Hands rendered on the fly as training data."""

from dataclasses import dataclass, field

from hifihr_core.config.tree import DataSettings
from hifihr_core.hands import HandModel
from hifihr_core.stream.synthetic import SynthBatches
from hifihr_core.synthesis import Synthesizer, SynthOptions
from hifihr_core.training.distributed import World

#: Offset of the validation seed from the run's; training never reaches it.
VALIDATION_SEED = 1_000_003

#: Side of the test picture that is rendered to find the available labels, pixels.
PROBE_PX = 32


@dataclass(frozen=True)
class SynthData:
    """Training data that is rendered on the fly, with the hand of the run."""

    settings: DataSettings
    is_synthetic: bool = True
    joint_definitions: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = ()

    def labels(self, hand: HandModel) -> dict[str, frozenset[str]]:
        """Return the names of the labels of rendered hands, found by rendering a small picture."""
        options = SynthOptions(image_px=PROBE_PX)
        batch = Synthesizer(hand, options=options, device=hand.faces.device).make(0, 1)
        return {"synth": frozenset(name for name, has in batch.present.items() if bool(has.any())) | {"mask"}}

    def training(self, hand: HandModel, world: World, *, seed: int, batch_size: int) -> SynthBatches:
        """Return the training batches of this process; `batch_size` is the total over all processes.

        Raises: ConfigError if `batch_size` is not a multiple of the number of processes.
        """
        settings = self.settings
        return SynthBatches(
            self._synthesizer(hand, world, seed=seed),
            world.share,
            world.part_of(batch_size),
            max(1, settings.synth_epoch // batch_size),
            workers=settings.workers,
            repeats=settings.synth_repeats,
        )

    def validation(self, hand: HandModel, world: World, *, batch_size: int) -> SynthBatches:
        """Return the validation batches of this process: hands rendered with another seed, each used once per epoch."""
        length = max(1, self.settings.validation_limit // batch_size)
        return SynthBatches(
            self._synthesizer(hand, world, seed=VALIDATION_SEED), world.share, world.part_of(batch_size), length
        )

    def _synthesizer(self, hand: HandModel, world: World, *, seed: int) -> Synthesizer:
        options = SynthOptions(image_px=self.settings.image_px)
        return Synthesizer(hand, seed=seed, options=options, device=world.device)
