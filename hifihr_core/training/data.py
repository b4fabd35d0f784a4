"""From the names of datasets to the batches of a run, and to the few that validation looks at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64
from torch.utils.data import Subset

from hifihr_core.augmentation.draws import NO_CHANGE, AugmentRanges
from hifihr_core.config.folders import shards_folder
from hifihr_core.config.tree import DataSettings
from hifihr_core.errors import ConfigError, DataError
from hifihr_core.hands import HandModel
from hifihr_core.records import Batch
from hifihr_core.shards.folder import ShardSet, find_shard_folders
from hifihr_core.shards.schema import DatasetFacts
from hifihr_core.stream.batch_stream import BatchStream, StreamOptions, StreamPart
from hifihr_core.stream.collate import hand_scale_of
from hifihr_core.stream.order import Share
from hifihr_core.training.distributed import World
from hifihr_core.training.synth import SynthData

#: The name of hands that are made on the fly.
SYNTH = "synth"

#: The random changes of training crops, by the name in settings.
AUGMENTATIONS: Mapping[str, AugmentRanges | None] = {
    "standard": AugmentRanges(),
    # The original turns FreiHAND's crops in the plane and does nothing else.
    "paper": replace(NO_CHANGE, rotation_rad=AugmentRanges().rotation_rad),
    "none": None,
}


@runtime_checkable
class Batches(Protocol):
    """Epochs of batches that can be left and taken up again: `BatchStream`, or hands made on the fly."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the rest of this epoch, then move on to the next."""
        ...

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch on this rank."""
        ...

    def state_dict(self) -> dict[str, int]:
        """Return the position: "seed", "epoch" and "start"."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position."""
        ...


@runtime_checkable
class Data(Protocol):
    """Where a run's batches come from; `ShardData` and `SynthData` are two."""

    @property
    def is_synthetic(self) -> bool:
        """Return whether hands are made on the fly."""
        ...

    @property
    def joint_definitions(self) -> tuple[str, ...]:
        """Return the joint definitions of the training data."""
        ...

    def labels(self, hand: HandModel) -> dict[str, frozenset[str]]:
        """Return the labels that each training dataset carries."""
        ...

    def training(self, hand: HandModel, world: World, *, seed: int, batch_size: int) -> Batches:
        """Return the training batches of this process; `batch_size` counts the samples of all processes together."""
        ...

    def validation(self, hand: HandModel, world: World, *, batch_size: int) -> Batches | None:
        """Return the validation batches of this process, None if nothing was kept aside."""
        ...


@dataclass(frozen=True)
class Dataset:
    """One shard folder of a run: which of its samples are used, the labels it carries, and its facts."""

    name: str
    shards: ShardSet
    positions: Int64[np.ndarray, " N"]
    facts: DatasetFacts

    @property
    def labels(self) -> frozenset[str]:
        """Return the labels that it carries; stand-ins for MANO's vertices are none."""
        return carried_labels(self.shards)

    def part(self, weight: float | None) -> StreamPart:
        """Return it as a part of a stream."""
        samples: Any = Subset(self.shards, self.positions.tolist())  # type: ignore[arg-type]
        return StreamPart(samples, weight, hand_scale_of(self.facts.dataset))


def carried_labels(shards: ShardSet) -> frozenset[str]:
    """Return the labels of a shard folder that training may count on."""
    labels = {name for name, facts in shards.index.labels.items() if facts.count > 0}
    if any(np.diff(reader.layout.annotations.offsets).any() for reader in shards.readers):
        labels.add("mask")
    if shards.index.facts.mano_stand_in:
        labels.discard("mano_vertices_cam")
    return frozenset(labels)


def open_dataset(name: str, *, training: bool, labels: frozenset[str] | None, versions: str = "first") -> Dataset:
    """Open the training or the evaluation split of a dataset, by its name, else by the path of its folder.

    `labels` limits what is read from it. Raises: DataError if there is no such shard folder.
    """
    named = shards_folder(name)
    is_name = len(Path(name).parts) == 1 and (named.exists() or not Path(name).exists())
    folders = find_shard_folders(named if is_name else Path(name))
    sets = [ShardSet(folder, labels=labels) for folder in folders]
    fitting = [shards for shards in sets if (shards.index.facts.split == "train") == training]
    chosen = (fitting if len(sets) > 1 else sets)[:1]
    if not chosen:
        wanted = "training" if training else "evaluation"
        raise DataError(f"{name}: no {wanted} split among its shards; prepare it, or give the folder itself")
    positions = np.arange(len(chosen[0])) if versions == "all" else first_pictures(chosen[0])
    return Dataset(name, chosen[0], positions, chosen[0].index.facts)


def annotation_numbers(shards: ShardSet) -> Int64[np.ndarray, " N"]:
    """Return the number of the annotation of every picture, counted over all shards."""
    first, numbers = 0, []
    for reader in shards.readers:
        numbers.append(reader.annotation_rows.astype(np.int64) + first)
        first += reader.annotation_count
    return np.concatenate(numbers)


def first_pictures(shards: ShardSet) -> Int64[np.ndarray, " N"]:
    """Return the position of the first picture of every annotation."""
    return np.sort(np.unique(annotation_numbers(shards), return_index=True)[1])


def keep_aside(dataset: Dataset, part: float) -> tuple[Dataset, Dataset]:
    """Cut the last `part` of the annotations off for validation; neighbours in a video stay on one side."""
    numbers = annotation_numbers(dataset.shards)[dataset.positions]
    cut = int(np.ceil((numbers.max() + 1) * (1 - part)))
    before, after = dataset.positions[numbers < cut], dataset.positions[numbers >= cut]
    return (
        Dataset(dataset.name, dataset.shards, before, dataset.facts),
        Dataset(dataset.name, dataset.shards, after, dataset.facts),
    )


def spread(dataset: Dataset, limit: int) -> Dataset:
    """Return at most `limit` samples of a dataset, evenly spread."""
    chosen = np.unique(
        np.linspace(0, len(dataset.positions) - 1, min(limit, len(dataset.positions))).round().astype(int)
    )
    return Dataset(dataset.name, dataset.shards, dataset.positions[chosen], dataset.facts)


def open_stream(
    datasets: Sequence[Dataset],
    options: StreamOptions,
    world: World,
    *,
    weights: Sequence[float | None],
    workers: int = 0,
) -> BatchStream:
    """Return this process's share of the batches of several datasets."""
    parts = [dataset.part(weight) for dataset, weight in zip(datasets, weights, strict=True)]
    share = Share(world.rank, world.size)
    return BatchStream(parts, options, share=share, num_workers=workers, device=world.device)


@dataclass(frozen=True)
class ShardData:
    """The data of a run that stands in shards."""

    settings: DataSettings
    train: tuple[Dataset, ...]
    held_out: tuple[Dataset, ...]
    is_synthetic: bool = False

    @property
    def joint_definitions(self) -> tuple[str, ...]:
        """Return the joint definitions of the training data."""
        return tuple(dataset.facts.joint_definition for dataset in self.train)

    def labels(self, hand: HandModel) -> dict[str, frozenset[str]]:
        """Return the labels that each training dataset carries."""
        return {dataset.name: dataset.labels for dataset in self.train}

    def training(self, hand: HandModel, world: World, *, seed: int, batch_size: int) -> Batches:
        """Return the training batches of this process. Raises: ConfigError if sizes do not fit."""
        total, settings = sum(len(dataset.positions) for dataset in self.train), self.settings
        if total < batch_size:
            raise ConfigError(f"train.batch_size: found {batch_size}, but there are only {total} training samples")
        if settings.proportions and len(settings.proportions) != len(self.train):
            raise ConfigError(f"data.proportions: {len(settings.proportions)} numbers, expected {len(self.train)}")
        options = StreamOptions(
            batch_size=world.part_of(batch_size),
            image_px=settings.image_px,
            seed=seed,
            augment=AUGMENTATIONS[settings.augmentation],
        )
        weights = settings.proportions or [None] * len(self.train)
        return open_stream(self.train, options, world, weights=weights, workers=settings.workers)

    def validation(self, hand: HandModel, world: World, *, batch_size: int) -> Batches | None:
        """Return the validation batches of this process, None if nothing was kept aside."""
        if not self.held_out:
            return None
        options = StreamOptions(
            batch_size=world.part_of(batch_size), image_px=self.settings.image_px, shuffle=False, drop_last=False
        )
        return open_stream(self.held_out, options, world, weights=[None] * len(self.held_out))


def open_data(settings: DataSettings, *, labels: frozenset[str]) -> Data:
    """Open what a run learns from and is checked on; training reads `labels` and nothing else.

    Validation reads every label, for its metrics. Raises: DataError if data is missing; ConfigError for a mixture that
    cannot be.
    """
    if SYNTH in settings.train:
        if settings.train != (SYNTH,):
            raise ConfigError(
                "data.train: synth mixes with nothing; pack hands with `hifihr prepare synth` to mix them"
            )
        return SynthData(settings)
    versions = settings.versions
    train = [open_dataset(name, training=True, labels=labels, versions=versions) for name in settings.train]
    if settings.validation:
        held_out = [open_dataset(name, training=False, labels=None) for name in settings.validation]
    elif settings.validation_part > 0:
        whole = [open_dataset(name, training=True, labels=None) for name in settings.train]
        held_out = [keep_aside(dataset, settings.validation_part)[1] for dataset in whole]
        train = [keep_aside(dataset, settings.validation_part)[0] for dataset in train]
    else:
        held_out = []
    limit = -(-settings.validation_limit // max(1, len(held_out)))
    return ShardData(settings, tuple(train), tuple(spread(dataset, limit) for dataset in held_out))
