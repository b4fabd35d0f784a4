"""Open the datasets of a run by name, and return batches for training and validation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from hifihr_core.augmentation.draws import NO_CHANGE, AugmentRanges
from hifihr_core.config.tree import DataSettings
from hifihr_core.errors import ConfigError, DataError
from hifihr_core.hands import HandModel
from hifihr_core.records import Batch
from hifihr_core.stream.batch_stream import StreamOptions
from hifihr_core.stream.datasets import Dataset, keep_aside, open_dataset, open_stream, spread
from hifihr_core.training.distributed import World
from hifihr_core.training.made_hands import SynthData

#: The dataset name of hands that are rendered on the fly.
SYNTH = "synth"

#: The random changes of training crops, by name in the settings.
AUGMENTATIONS: Mapping[str, AugmentRanges | None] = {
    "standard": AugmentRanges(),
    # The original only rotates FreiHAND's crops in the plane.
    "paper": replace(NO_CHANGE, rotation_rad=AugmentRanges().rotation_rad),
    "none": None,
}


@runtime_checkable
class Batches(Protocol):
    """A resumable stream of batches in epochs: `BatchStream`, or `SynthBatches` for hands rendered on the fly."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the remaining batches of this epoch; at the end, the position is the start of the next epoch."""
        ...

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch on this rank."""
        ...

    def state_dict(self) -> dict[str, int]:
        """Return the position: "seed", "epoch", and "start", the number of samples already used in this epoch."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at a position that `state_dict` has returned."""
        ...


@runtime_checkable
class Data(Protocol):
    """The source of a run's batches: `ShardData` or `SynthData`."""

    @property
    def is_synthetic(self) -> bool:
        """Return whether hands are rendered on the fly."""
        ...

    @property
    def joint_definitions(self) -> tuple[str, ...]:
        """Return the joint definition of each training dataset, such as "freihand"; empty for rendered hands."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Return remarks about the data for the user, one per line."""
        ...

    def labels(self, hand: HandModel) -> dict[str, frozenset[str]]:
        """Return the names of the labels of each training dataset."""
        ...

    def training(self, hand: HandModel, world: World, *, seed: int, batch_size: int) -> Batches:
        """Return the training batches of this process; `batch_size` is the total over all processes."""
        ...

    def validation(self, hand: HandModel, world: World, *, batch_size: int) -> Batches | None:
        """Return the validation batches of this process, or None if no data is held out for validation."""
        ...


@dataclass(frozen=True)
class ShardData:
    """The data of a run that reads shards: datasets for training, and datasets held out for validation."""

    settings: DataSettings
    train: tuple[Dataset, ...]
    held_out: tuple[Dataset, ...]
    is_synthetic: bool = False

    @property
    def joint_definitions(self) -> tuple[str, ...]:
        """Return the joint definition of each training dataset, such as "freihand"."""
        return tuple(dataset.facts.joint_definition for dataset in self.train)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a remark for the user if no data is held out for validation."""
        if self.held_out:
            return ()
        return ("no data is held out for validation: there are no scores, and no best checkpoint is kept",)

    def labels(self, hand: HandModel) -> dict[str, frozenset[str]]:
        """Return the names of the labels of each training dataset."""
        return {dataset.name: dataset.labels for dataset in self.train}

    def training(self, hand: HandModel, world: World, *, seed: int, batch_size: int) -> Batches:
        """Return the training batches of this process; `batch_size` is the total over all processes.

        Raises: ConfigError if `batch_size` exceeds the number of samples or is not a multiple of the number of
        processes, or if `data.proportions` does not have one number per training dataset.
        """
        total, settings = sum(len(dataset.positions) for dataset in self.train), self.settings
        if total < batch_size:
            raise ConfigError(
                f"train.batch_size: found {batch_size}, expected at most the number of training samples, {total}"
            )
        if settings.proportions and len(settings.proportions) != len(self.train):
            raise ConfigError(
                f"data.proportions: its length is {len(settings.proportions)}, expected that of data.train, "
                f"{len(self.train)}"
            )
        options = StreamOptions(
            batch_size=world.part_of(batch_size),
            image_px=settings.image_px,
            seed=seed,
            augment=AUGMENTATIONS[settings.augmentation],
        )
        weights = settings.proportions or [None] * len(self.train)
        return open_stream(self.train, options, world.share, world.device, weights=weights, workers=settings.workers)

    def validation(self, hand: HandModel, world: World, *, batch_size: int) -> Batches | None:
        """Return the validation batches of this process, or None if no data is held out for validation."""
        if not self.held_out:
            return None
        options = StreamOptions(
            batch_size=world.part_of(batch_size), image_px=self.settings.image_px, shuffle=False, drop_last=False
        )
        return open_stream(self.held_out, options, world.share, world.device, weights=[None] * len(self.held_out))


def open_data(settings: DataSettings, *, labels: frozenset[str]) -> Data:
    """Open a run's training and validation data.

    Training batches contain only `labels`; validation batches contain all labels, for the metrics. Raises: DataError if
    data is missing; ConfigError if `settings.train` names data that cannot be mixed.
    """
    if SYNTH in settings.train:
        if settings.train != (SYNTH,):
            raise ConfigError(
                "data.train: synth (hands rendered on the fly) cannot be mixed with other data; render them to shards "
                "first, with `hifihr prepare synth`, and name the shards instead"
            )
        return SynthData(settings)
    cache = int(settings.cache_gb * 1e9)
    versions = settings.versions
    train = [
        open_dataset(name, training=True, labels=labels, versions=versions, cache_bytes=cache)
        for name in settings.train
    ]
    if settings.validation:
        held_out = [open_dataset(name, training=False, labels=None, cache_bytes=cache) for name in settings.validation]
        if empty := [dataset.name for dataset in held_out if not len(dataset.positions)]:
            raise DataError(
                f"data.validation: {empty[0]} contains no samples; prepare the dataset again, or name another one"
            )
    elif settings.validation_part > 0:
        whole = [open_dataset(name, training=True, labels=None, cache_bytes=cache) for name in settings.train]
        held_out = [keep_aside(dataset, settings.validation_part)[1] for dataset in whole]
        train = [keep_aside(dataset, settings.validation_part)[0] for dataset in train]
    else:
        held_out = []
    limit = -(-settings.validation_limit // max(1, len(held_out)))
    return ShardData(settings, tuple(train), tuple(spread(dataset, limit) for dataset in held_out))
