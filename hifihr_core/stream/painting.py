"""Paint crops (compute their pixels): in a CPU worker, on the training device, or from a finished batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hifihr_core.augmentation.colors import change_batch, change_picture
from hifihr_core.augmentation.draws import AugmentRanges, Squares
from hifihr_core.records import Batch, Side
from hifihr_core.sample_batches import SampleBatch
from hifihr_core.stream.batch_memory import recycled
from hifihr_core.stream.batching import CropPlan, Painted, PaintedBatch, Placed, make_batch
from hifihr_core.stream.collate import find_squares
from hifihr_core.stream.decode import (
    Warps,
    binarize,
    decode_on,
    paint_crop,
    sample_size,
    scratch_picture,
    warp_on_device,
)
from hifihr_core.stream.pixels import write_unit_floats


@dataclass(frozen=True)
class _OfSamples:
    """The common part of `PicturesOfWorker` and `PicturesOnDevice`: everything but painting."""

    samples: SampleBatch
    hand_scales: tuple[float | None, ...]

    @cached_property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """Return (width, height) of every picture."""
        return [sample_size(picture) for picture in self.samples.pictures]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the samples."""
        return self.samples.keys

    @property
    def sides(self) -> tuple[Side, ...]:
        """Return the original side of each hand; pictures of left hands are stored mirrored."""
        return self.samples.sides

    @property
    def K(self) -> Float[np.ndarray, "B 3 3"]:
        """Return the cameras, in float64."""
        return self.samples.K.astype(np.float64)

    def squares(self) -> Squares:
        """Return the square of each picture that the network sees."""
        return find_squares(self.samples, self.sizes, self.hand_scales)

    @property
    def masked(self) -> Bool[Tensor, " B"]:
        """Return which pictures have a mask."""
        return torch.tensor([picture.mask is not None for picture in self.samples.pictures])

    def labels(self) -> tuple[dict[str, Tensor], dict[str, Bool[Tensor, " B"]]]:
        """Return (labels, present) without the mask."""
        labels, present = self.samples.labels, self.samples.present
        return (
            {name: torch.from_numpy(values) for name, values in labels.items()},
            {name: torch.from_numpy(having) for name, having in present.items()},
        )


@dataclass(frozen=True)
class PicturesOfWorker(_OfSamples):
    """Samples that a CPU worker decodes and paints one by one, each directly into the batch.

    With `floats` and without augmentation, each picture is converted to floats while its bytes are still in the
    processor's cache. Otherwise pixels stay bytes: writing floats would evict data from the cache that augmentation
    reads repeatedly.
    """

    floats: bool = False

    def paint(self, placed: Placed) -> Painted:
        """Return the crops, as bytes or floats, with all changes of their colours that were drawn."""
        count, side = len(self.samples), placed.plan.image_px
        floats = self.floats and placed.plan.augment is None
        image = recycled((count, side, side, 3), np.float32 if floats else np.uint8)
        any_mask = any(picture.mask is not None for picture in self.samples.pictures)
        visible = np.zeros((count, side, side), np.uint8) if any_mask else None
        warps = Warps.of(placed.T_new_old)
        still = (placed.T_new_old == np.eye(3)).all(axis=(1, 2)) & (np.array(self.sizes) == side).all(axis=1)
        whole = still.tolist()
        for b, sample in enumerate(self.samples.pictures):
            seen = None if visible is None else visible[b]
            picture = scratch_picture(side) if floats else image[b]
            paint_crop(sample, self.sizes[b], None if whole[b] else warps, b, picture, seen)
            if placed.plan.augment is not None:
                change_picture(picture, seen, placed.draws.pixel_changes[b])
            if floats:
                write_unit_floats(picture, image[b])
        pixels = torch.from_numpy(image)
        return Painted(
            pixels.permute(0, 3, 1, 2) if floats else pixels,
            None if visible is None else torch.from_numpy(visible),
        )


@dataclass(frozen=True)
class PicturesOnDevice(_OfSamples):
    """Samples that are decoded and painted together, as tensors on any device.

    The results differ from those of `PicturesOfWorker` only by rounding, in pictures that shrink by more than a quarter
    (see `warp_on_device`), and because JPEG compression is omitted even if it was drawn.
    Raises: DataError if the bytes are not a picture; RuntimeError if nvJPEG fails.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def pictures(self) -> list[UInt8[Tensor, "3 _ _"]]:
        """Return the decoded pictures."""
        return decode_on(self.device, self.samples.pictures)

    @cached_property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """Return (width, height) of every picture."""
        return [(picture.shape[2], picture.shape[1]) for picture in self.pictures]

    def paint(self, placed: Placed) -> Painted:
        """Return the crops as floats."""
        T_new_old, side = placed.motion.T_new_old.to(self.device), placed.plan.image_px
        image = warp_on_device(self.pictures, T_new_old, image_px=side)
        visible = self._warp_masks(T_new_old, side)
        if placed.plan.augment is not None:
            image, visible = change_batch(image, visible, placed.draws)
        return Painted(image, visible)

    def _warp_masks(self, T_new_old: Float[Tensor, "B 3 3"], side: int) -> Bool[Tensor, "B H W"] | None:
        """Return the warped masks, False for samples without one, or None if no sample has one."""
        having = [b for b, picture in enumerate(self.samples.pictures) if picture.mask is not None]
        if not having:
            return None
        masks = decode_on(self.device, [self.samples.pictures[b] for b in having], what="mask")
        visible = torch.zeros(len(self.samples), side, side, dtype=torch.bool, device=self.device)
        visible[having] = binarize(warp_on_device(masks, T_new_old[having], image_px=side))
        return visible


@dataclass(frozen=True)
class PicturesOfBatch:
    """The square crops of a finished batch, to be augmented once more, without JPEG compression."""

    batch: Batch

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the samples."""
        return self.batch.keys

    @property
    def sides(self) -> tuple[Side, ...]:
        """Return the original side of each hand; pictures of left hands are stored mirrored."""
        return self.batch.sides

    @property
    def K(self) -> Float[np.ndarray, "B 3 3"]:
        """Return the cameras, in float64."""
        return self.batch.K.double().cpu().numpy()

    def squares(self) -> Squares:
        """Return the square of each picture that the network sees, which is all of it."""
        count, side = len(self.batch), float(self.batch.image.shape[-1])
        return Squares(np.full((count, 2), side / 2), np.full(count, side), np.full(count, side))

    @property
    def masked(self) -> Bool[Tensor, " B"]:
        """Return which pictures have a mask."""
        return self.batch.present["mask"]

    def labels(self) -> tuple[Mapping[str, Tensor], Mapping[str, Bool[Tensor, " B"]]]:
        """Return (labels, present) without the mask."""
        labels, present = self.batch.labels, self.batch.present
        return {n: v for n, v in labels.items() if n != "mask"}, {n: v for n, v in present.items() if n != "mask"}

    def paint(self, placed: Placed) -> Painted:
        """Return the crops as floats; they are black beyond the borders of the pictures."""
        image, mask = self.batch.image, self.batch.labels.get("mask")
        layers = image if mask is None else torch.cat((image, mask[:, None].to(image)), dim=1)
        T_new_old = placed.motion.T_new_old.to(image.device)
        moved = warp_on_device((255 * layers).to(torch.uint8).unbind(), T_new_old, image_px=placed.plan.image_px)
        visible = None if mask is None else binarize(moved[:, 3:])
        return Painted(*change_batch(moved[:, :3], visible, placed.draws))


@dataclass(frozen=True)
class EncodedBatch:
    """The samples of a batch as stored in the shards, and what is needed to make the batch."""

    samples: SampleBatch
    hand_scales: tuple[float | None, ...]
    plan: CropPlan
    epoch: int = 0

    def paint(self, *, floats: bool = False) -> PaintedBatch:
        """Return the batch, decoded and augmented on the CPU, as bytes or, if `floats` and not augmented, as floats.

        Raises: DataError if a picture cannot be decoded or labels do not match each other.
        """
        return make_batch(PicturesOfWorker(self.samples, self.hand_scales, floats), self.plan, self.epoch)

    def to_batch(self, device: torch.device | str = "cpu") -> Batch:
        """Return the batch, decoded and augmented on a device.

        Raises: DataError if a picture cannot be decoded or labels do not match each other; RuntimeError if nvJPEG
        fails.
        """
        pictures = PicturesOnDevice(self.samples, self.hand_scales, torch.device(device))
        return make_batch(pictures, self.plan, self.epoch).to_batch(device)


def vary(batch: Batch, ranges: AugmentRanges, *, seed: int, epoch: int) -> Batch:
    """Return a batch of square crops and their labels, augmented once more: a pure function of its arguments."""
    plan = CropPlan(image_px=batch.image.shape[-1], seed=seed, augment=ranges)
    return make_batch(PicturesOfBatch(batch), plan, epoch).to_batch(batch.image.device)
