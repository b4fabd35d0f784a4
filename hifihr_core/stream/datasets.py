"""Open shard folders by the names of datasets, choose their samples, and make streams of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from hifihr_core.config.data_folders import cache_folder, shards_folder
from hifihr_core.errors import ConfigError, DataError
from hifihr_core.shards.fetching import is_url
from hifihr_core.shards.folder import ShardSet, find_shard_folders
from hifihr_core.shards.remote_folder import RemoteShardSet, find_remote_folders
from hifihr_core.shards.schema import DatasetFacts
from hifihr_core.shards.shard_cache import ShardCache
from hifihr_core.stream.batch_stream import BatchStream, StreamOptions, StreamPart
from hifihr_core.stream.order import Share
from hifihr_core.stream.sample_sets import ChosenSamples

#: Default limit of the local cache for shards from a remote store, bytes.
CACHE_BYTES = 20_000_000_000


@dataclass(frozen=True)
class Dataset:
    """A dataset in a run: its shard folder, the positions of the samples that are used, and facts about the dataset."""

    name: str
    shards: ShardSet
    positions: Int64[np.ndarray, " N"]
    facts: DatasetFacts

    @property
    def labels(self) -> frozenset[str]:
        """Return the labels that training may rely on; see `carried_labels`."""
        return carried_labels(self.shards)

    def part(self, weight: float | None) -> StreamPart:
        """Return the dataset as part of a stream."""
        if isinstance(self.shards, RemoteShardSet):
            return StreamPart(_FromAfar(self.shards, self.positions), weight, self.facts.crop_scale)
        return StreamPart(ChosenSamples(self.shards, self.positions), weight, self.facts.crop_scale)


@dataclass(frozen=True)
class _FromAfar(ChosenSamples):
    """Some samples of a shard folder in a remote store, which a stream reads shard by shard."""

    samples: RemoteShardSet

    @property
    def window(self) -> int:
        """Return how many shards may be in use at the same time."""
        return self.samples.window

    @property
    def shards(self) -> Int64[np.ndarray, " N"]:
        """Return the number of the shard that contains each sample."""
        return np.searchsorted(self.samples.starts, self.positions, side="right") - 1

    def expect(self, order: Int64[np.ndarray, " N"]) -> None:
        """Announce the positions of the samples that will be read from now on, in order."""
        self.samples.expect(self.positions[order])


def carried_labels(shards: ShardSet) -> frozenset[str]:
    """Return the labels of a shard folder that training may rely on, without points that replace MANO's vertices."""
    labels = {name for name, facts in shards.index.labels.items() if facts.count > 0}
    if shards.has_masks:
        labels.add("mask")
    if shards.index.facts.mano_stand_in:
        labels.discard("mano_vertices_cam")
    return frozenset(labels)


def open_dataset(
    name: str,
    *,
    training: bool,
    labels: frozenset[str] | None,
    versions: str = "first",
    cache_bytes: int = CACHE_BYTES,
) -> Dataset:
    """Open the training or evaluation split of a dataset by its name, or by its folder's path or address.

    `labels` are those to read, None for all. If `versions` is "all", every picture is used, otherwise only the first
    picture of each annotation. Shards at an address (``s3://...``) are kept in a cache of `cache_bytes`.
    Raises: DataError if there is no such shard folder, split or sample; ConfigError if the package for the address is
    not installed.
    """
    sets = _find_sets(name, labels, cache_bytes)
    fitting = [shards for shards in sets if (shards.index.facts.split == "train") == training]
    chosen = (fitting if len(sets) > 1 else sets)[:1]
    if not chosen:
        wanted = "training" if training else "evaluation"
        raise DataError(f"{name}: has no {wanted} split; prepare this split, or give the folder of another split")
    if not len(chosen[0]):
        raise DataError(
            f"{chosen[0].folder}: contains no samples; prepare the dataset again, and check what was skipped"
        )
    positions = np.arange(len(chosen[0])) if versions == "all" else first_pictures(chosen[0])
    return Dataset(name, chosen[0], positions, chosen[0].index.facts)


def _find_sets(name: str, labels: frozenset[str] | None, cache_bytes: int) -> Sequence[ShardSet]:
    if is_url(name):
        return find_remote_folders(name, ShardCache(cache_folder(), cache_bytes), labels=labels)
    named = shards_folder(name)
    is_name = len(Path(name).parts) == 1 and (named.exists() or not Path(name).exists())
    if is_name and not named.exists():
        raise DataError(
            f"{named}: no such folder, expected a finished shard folder; run `hifihr prepare {name}` to make it, "
            "or check the name"
        )
    return [ShardSet(folder, labels=labels) for folder in find_shard_folders(named if is_name else Path(name))]


def annotation_numbers(shards: ShardSet) -> Int64[np.ndarray, " N"]:
    """Return the number of each picture's annotation, counted over all shards; pictures may share an annotation."""
    counts = [shard.annotations for shard in shards.index.shards]
    return np.concatenate([shards.rows_of(shard) + sum(counts[:shard]) for shard in range(len(counts))])


def first_pictures(shards: ShardSet) -> Int64[np.ndarray, " N"]:
    """Return the position of the first picture of every annotation."""
    return np.sort(np.unique(annotation_numbers(shards), return_index=True)[1])


def keep_aside(dataset: Dataset, part: float) -> tuple[Dataset, Dataset]:
    """Divide a dataset into one for training and one for validation.

    Validation gets the last fraction `part` of the annotations, so that consecutive annotations, such as those of a
    video, stay together except at the cut. Raises: ConfigError if there are fewer than two annotations.
    """
    numbers = annotation_numbers(dataset.shards)[dataset.positions]
    if len(np.unique(numbers)) < 2:
        raise ConfigError(
            f"{dataset.name}: number of annotations is {len(np.unique(numbers))}, expected at least 2 to hold some out "
            "for validation; name other data with data.validation, or train without validation with "
            "--set data.validation_part=0"
        )
    cut = int(np.ceil((numbers.max() + 1) * (1 - part)))
    cut = min(max(cut, int(numbers.min()) + 1), int(numbers.max()))
    before, after = dataset.positions[numbers < cut], dataset.positions[numbers >= cut]
    return (
        Dataset(dataset.name, dataset.shards, before, dataset.facts),
        Dataset(dataset.name, dataset.shards, after, dataset.facts),
    )


def spread(dataset: Dataset, limit: int) -> Dataset:
    """Return at most `limit` evenly spread samples of a dataset."""
    chosen = np.unique(
        np.linspace(0, len(dataset.positions) - 1, min(limit, len(dataset.positions))).round().astype(int)
    )
    return Dataset(dataset.name, dataset.shards, dataset.positions[chosen], dataset.facts)


def open_stream(
    datasets: Sequence[Dataset],
    options: StreamOptions,
    share: Share,
    device: torch.device,
    *,
    weights: Sequence[float | None],
    workers: int = 0,
) -> BatchStream:
    """Return the stream of one process: its share of the batches of several datasets, on its device.

    `weights` are the datasets' weights in `StreamPart`; `workers` is the number of threads that prepare batches.
    """
    parts = [dataset.part(weight) for dataset, weight in zip(datasets, weights, strict=True)]
    return BatchStream(parts, options, share=share, num_workers=workers, device=device)
