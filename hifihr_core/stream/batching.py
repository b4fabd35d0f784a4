"""From samples to batches: what a worker makes of a list of samples, and what training gets of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hifihr_core.augmentation.colors import change_batch, change_picture
from hifihr_core.augmentation.draws import AugmentRanges, Draws, draw, no_draws, place
from hifihr_core.augmentation.moves import Motion, move_labels
from hifihr_core.records import Batch, Sample, Side
from hifihr_core.stream.collate import collate_labels, find_crops, pack, unpack
from hifihr_core.stream.decode import binarize, decode_on, draw_crop, picture_size, warp_on_device
from hifihr_core.stream.pixels import to_unit_floats


@runtime_checkable
class Samples(Protocol):
    """Samples by position: a `ShardSet`, a list, or several of either laid end to end."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> Sample: ...


@dataclass(frozen=True)
class CropPlan:
    """What the making of a batch depends on, besides its samples and the epoch."""

    image_px: int
    seed: int = 0
    augment: AugmentRanges | None = None


@dataclass(frozen=True)
class PackedBatch:
    """A batch as it leaves a worker: bytes of pixels, and every label in one array, so that few tensors travel.

    Concretely, ``values[b, layout[name]]`` is label `name` of sample b, and ``present[b, n]`` whether it has the n-th
    name of the layout. `visible` is 1 where the hand is seen, `masked` tells which samples have a mask.
    """

    image: UInt8[Tensor, "B H W 3"]
    visible: UInt8[Tensor, "B H W"] | None
    masked: Bool[Tensor, " B"]
    K: Float[Tensor, "B 3 3"]
    values: Float[Tensor, "B N"]
    present: Bool[Tensor, "B L"]
    layout: Mapping[str, tuple[int, ...]]
    keys: tuple[str, ...]
    sides: tuple[Side, ...]

    def pin_memory(self) -> "PackedBatch":
        """Return the batch in page-locked memory, from where a GPU copies without waiting."""
        pinned = {name: value.pin_memory() for name, value in vars(self).items() if isinstance(value, Tensor)}
        return PackedBatch(**{**vars(self), **pinned})

    def to_batch(self, device: torch.device | str = "cpu") -> Batch:
        """Return the batch on a device with pictures as RGB in [0, 1]; pixels travel as bytes.

        `image` is a (B, 3, H, W) tensor in channels-last memory, the order that convolutions are fastest in.
        """
        image = self.image.to(device, non_blocking=True)
        labels, present = unpack(self.values, self.present, self.layout)
        labels = {name: value.to(device, non_blocking=True) for name, value in labels.items()}
        present = {name: value.to(device, non_blocking=True) for name, value in present.items()}
        if self.visible is not None:
            labels["mask"] = self.visible.to(device, non_blocking=True).bool()
            present["mask"] = self.masked.to(device, non_blocking=True)
        return Batch(
            image=to_unit_floats(image).permute(0, 3, 1, 2),
            K=self.K.to(device, non_blocking=True),
            keys=self.keys,
            sides=self.sides,
            labels=labels,
            present=present,
        )


@dataclass(frozen=True)
class EncodedBatch:
    """The samples of a batch as they stand in the shards, to be decoded and augmented on the device that trains."""

    samples: tuple[Sample, ...]
    hand_scales: tuple[float | None, ...]
    plan: CropPlan
    epoch: int = 0

    def to_batch(self, device: torch.device | str = "cpu") -> Batch:
        """Decode, augment and collate on a device; the twin of `pack_batch` and `PackedBatch.to_batch`.

        JPEG compression, which `pack_batch` may draw, is left out. Raises: as `decode_on`.
        """
        device = torch.device(device)
        pictures = decode_on(device, self.samples)
        placed = _place(self, [(picture.shape[2], picture.shape[1]) for picture in pictures])
        T_new_old = placed.motion.T_new_old.to(device)
        side = self.plan.image_px
        image = warp_on_device(pictures, T_new_old, image_px=side)
        visible = self._warp_masks(device, T_new_old)
        if self.plan.augment is not None:
            image, visible = change_batch(image, visible, placed.draws)
        labels, present = move_labels(*collate_labels(self.samples), placed.motion)
        if visible is not None:
            labels["mask"] = visible
            present["mask"] = torch.tensor([sample.mask is not None for sample in self.samples])
        return Batch(
            image=image,
            K=placed.K.to(device),
            keys=tuple(sample.key for sample in self.samples),
            sides=_sides(self.samples, placed.draws),
            labels={name: value.to(device) for name, value in labels.items()},
            present={name: value.to(device) for name, value in present.items()},
        )

    def _warp_masks(self, device: torch.device, T_new_old: Float[Tensor, "B 3 3"]) -> Bool[Tensor, "B H W"] | None:
        """Return the warped masks, False for samples without one, or None if no sample has one."""
        having = [b for b, sample in enumerate(self.samples) if sample.mask is not None]
        if not having:
            return None
        side = self.plan.image_px
        masks = decode_on(device, [self.samples[b] for b in having], what="mask")
        visible = torch.zeros(len(self.samples), side, side, dtype=torch.bool, device=device)
        visible[having] = binarize(warp_on_device(masks, T_new_old[having], image_px=side))
        return visible


@dataclass(frozen=True)
class _Placed:
    """Where the crops of a batch come from; `still` are those that are the whole picture as it is."""

    draws: Draws
    T_new_old: Float[np.ndarray, "B 3 3"]
    still: tuple[bool, ...]
    K: Float[Tensor, "B 3 3"]
    motion: Motion


def _place(raw: EncodedBatch, sizes: Sequence[tuple[int, int]]) -> _Placed:
    keys = [sample.key for sample in raw.samples]
    plan = raw.plan
    if plan.augment is None:
        draws = no_draws(len(keys))
    else:
        draws = draw(plan.augment, keys, seed=plan.seed, epoch=raw.epoch, image_px=plan.image_px)
    K = np.stack([sample.K for sample in raw.samples]).astype(np.float64)
    crops = find_crops(raw.samples, sizes, raw.hand_scales)
    T_new_old, K_new, motion = place(draws, K, crops, image_px=plan.image_px)
    still = (T_new_old == np.eye(3)).all(axis=(1, 2)) & (np.array(sizes) == plan.image_px).all(axis=1)
    return _Placed(draws, T_new_old, tuple(still.tolist()), torch.from_numpy(K_new.astype(np.float32)), motion)


def pack_batch(raw: EncodedBatch) -> PackedBatch:
    """Decode, augment and pack samples on the CPU; the result depends on nothing but the argument.

    Raises: DataError if a picture cannot be decoded or labels do not fit together.
    """
    samples, side = raw.samples, raw.plan.image_px
    sizes = [picture_size(sample) for sample in samples]
    placed = _place(raw, sizes)
    masked = [sample.mask is not None for sample in samples]
    image = np.empty((len(samples), side, side, 3), np.uint8)
    visible = np.zeros((len(samples), side, side), np.uint8) if any(masked) else None
    for b, sample in enumerate(samples):
        seen = None if visible is None else visible[b]
        draw_crop(sample, sizes[b], None if placed.still[b] else placed.T_new_old[b], image[b], seen)
        if raw.plan.augment is not None:
            change_picture(image[b], seen, placed.draws, b)
    labels, present = move_labels(*collate_labels(samples), placed.motion)
    values, layout = pack(labels, len(samples))
    return PackedBatch(
        image=torch.from_numpy(image),
        visible=None if visible is None else torch.from_numpy(visible),
        masked=torch.tensor(masked),
        K=placed.K,
        values=values,
        present=torch.stack([torch.zeros(len(samples), dtype=torch.bool), *(present[name] for name in layout)], 1)[
            :, 1:
        ],
        layout=layout,
        keys=tuple(sample.key for sample in samples),
        sides=_sides(samples, placed.draws),
    )


def _sides(samples: Sequence[Sample], draws: Draws) -> tuple[Side, ...]:
    """Return the anatomical sides; a mirrored right hand is a left one, and the other way round."""
    other: Mapping[Side, Side] = {"right": "left", "left": "right"}
    return tuple(other[s.side] if m else s.side for s, m in zip(samples, draws.mirrored.tolist(), strict=True))
