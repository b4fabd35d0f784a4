"""Batches of samples with stacked labels, made from single samples or joined from several batches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from hifihr_core.errors import DataError
from hifihr_core.samples import Sample, Side


class EncodedPicture(NamedTuple):
    """A picture and the mask of its hand, if any, as encoded image files; `key` is that of the sample."""

    key: str
    image: bytes
    mask: bytes | None


@dataclass(frozen=True)
class SampleBatch:
    """Samples whose labels are stacked.

    Where ``present[name][b]`` is False, ``labels[name][b]`` is 0. A label that no sample has is in neither.
    """

    pictures: tuple[EncodedPicture, ...]
    sides: tuple[Side, ...]
    K: Float32[np.ndarray, "B 3 3"]
    labels: Mapping[str, Float[np.ndarray, "B ..."]]
    present: Mapping[str, Bool[np.ndarray, " B"]]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.pictures)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the samples."""
        return tuple(picture.key for picture in self.pictures)

    def labels_of(self, b: int) -> dict[str, np.ndarray]:
        """Return the labels that sample b has, without the batch axis."""
        return {name: values[b, ...] for name, values in self.labels.items() if self.present[name][b]}


def stack_samples(samples: Sequence[Sample]) -> SampleBatch:
    """Return single samples as a batch. Raises: DataError if a label differs in size between samples."""
    labels, present = {}, {}
    for name in sorted({name for sample in samples for name in sample.labels}):
        having = [name in sample.labels for sample in samples]
        absent = np.zeros_like(samples[having.index(True)].labels[name])
        rows = [sample.labels.get(name, absent) for sample in samples]
        _check_sizes(name, [(sample.key, row.shape) for sample, row in zip(samples, rows, strict=True)])
        labels[name], present[name] = np.stack(rows), np.array(having)
    return SampleBatch(
        pictures=tuple(EncodedPicture(sample.key, sample.image, sample.mask) for sample in samples),
        sides=tuple(sample.side for sample in samples),
        K=np.stack([sample.K for sample in samples]),
        labels=labels,
        present=present,
    )


def read_by_owner(
    owners: Int64[np.ndarray, " B"],
    numbers: Int64[np.ndarray, " B"],
    read: Callable[[int, Int64[np.ndarray, " N"]], SampleBatch],
) -> SampleBatch:
    """Return a batch of samples that belong to several owners (shards or datasets).

    Sample b is number ``numbers[b]`` of owner ``owners[b]``; ``read(owner, numbers)`` is called once per owner.
    Raises: DataError if a label differs in size between owners.
    """
    places = {owner: np.flatnonzero(owners == owner) for owner in dict.fromkeys(owners.tolist())}
    return _joined([read(owner, numbers[place]) for owner, place in places.items()], list(places.values()))


def _joined(batches: Sequence[SampleBatch], places: Sequence[Int64[np.ndarray, "_"]]) -> SampleBatch:
    """Return one batch, in which sample i of batch g is at ``places[g][i]``."""
    if len(batches) == 1:
        return batches[0]
    order = np.argsort(np.concatenate(places))
    pictures = [picture for batch in batches for picture in batch.pictures]
    sides = [side for batch in batches for side in batch.sides]
    names = sorted({name for batch in batches for name in batch.labels})
    return SampleBatch(
        pictures=tuple(pictures[i] for i in order.tolist()),
        sides=tuple(sides[i] for i in order.tolist()),
        K=np.concatenate([batch.K for batch in batches])[order],
        labels={name: np.concatenate(_parts(name, batches))[order] for name in names},
        present={
            name: np.concatenate([batch.present.get(name, np.zeros(len(batch), bool)) for batch in batches])[order]
            for name in names
        },
    )


def _parts(name: str, batches: Sequence[SampleBatch]) -> list[np.ndarray]:
    """Return the values of one label in every batch, zeros for a batch that does not have it."""
    _check_sizes(name, [(b.keys[0], b.labels[name].shape[1:]) for b in batches if name in b.labels])
    like = next(batch.labels[name] for batch in batches if name in batch.labels)
    return [
        batch.labels[name] if name in batch.labels else np.zeros((len(batch), *like.shape[1:]), like.dtype)
        for batch in batches
    ]


def _check_sizes(name: str, found: Sequence[tuple[str, tuple[int, ...]]]) -> None:
    expected = found[0][1]
    for key, shape in found:
        if shape != expected:
            raise DataError(
                f"{key}: {name} has shape {shape}, expected {expected} as in {found[0][0]}; "
                "datasets with parameters of different hand models cannot be mixed under this label"
            )
