"""Make a batch from pictures in the same steps, wherever the pictures come from.

The steps are: draw the augmentation, place the crops, paint them (compute their pixels), and move the labels.
`Pictures` is the interface to pictures that can paint their crops: samples in a CPU worker, samples on the training
device, or the crops of a finished batch (all in `painting`). `make_batch` does the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hifihr_core.augmentation.draws import AugmentRanges, Draws, Squares, draw, no_draws, place
from hifihr_core.augmentation.moves import Motion, move_labels
from hifihr_core.records import Batch, Side
from hifihr_core.stream.pixels import to_unit_floats

_OTHER_SIDE: Mapping[Side, Side] = {"right": "left", "left": "right"}


@dataclass(frozen=True)
class CropPlan:
    """What a batch depends on besides its samples and the epoch: the size and augmentation of crops, and the seed."""

    image_px: int
    seed: int = 0
    augment: AugmentRanges | None = None


@dataclass(frozen=True)
class Placed:
    """Where the crops of a batch are in their pictures, and the random draws that determined this.

    `T_new_old` maps pixels of a picture to those of its crop, `K` is the camera of the crop, and `motion` moves labels.
    """

    draws: Draws
    T_new_old: Float[np.ndarray, "B 3 3"]
    K: Float[np.ndarray, "B 3 3"]
    motion: Motion
    plan: CropPlan


@dataclass(frozen=True)
class Painted:
    """The pixels of crops: bytes (B, H, W, 3) or floats (B, 3, H, W) in [0, 1].

    `visible` marks the visible pixels of the hand; it is None if no sample has a mask.
    """

    image: UInt8[Tensor, "B H W 3"] | Float[Tensor, "B 3 H W"]
    visible: UInt8[Tensor, "B H W"] | Bool[Tensor, "B H W"] | None


@runtime_checkable
class Pictures(Protocol):
    """The pictures of a batch with their cameras and labels, and a method that paints their crops."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the samples."""
        ...

    @property
    def sides(self) -> tuple[Side, ...]:
        """Return the original side of each hand; pictures of left hands are stored mirrored."""
        ...

    @property
    def K(self) -> Float[np.ndarray, "B 3 3"]:
        """Return the cameras, in float64."""
        ...

    def squares(self) -> Squares:
        """Return the square of each picture that the network sees."""
        ...

    @property
    def masked(self) -> Bool[Tensor, " B"]:
        """Return which pictures have a mask."""
        ...

    def labels(self) -> tuple[Mapping[str, Tensor], Mapping[str, Bool[Tensor, " B"]]]:
        """Return (labels, present) without the mask."""
        ...

    def paint(self, placed: Placed) -> Painted:
        """Return the pixels of the crops; `placed` has their positions, and the changes of their colours."""
        ...


@dataclass(frozen=True)
class PaintedBatch:
    """A batch before it is moved to the training device; its pixels are bytes unless they were painted as floats."""

    painted: Painted
    K: Float[Tensor, "B 3 3"]
    keys: tuple[str, ...]
    sides: tuple[Side, ...]
    labels: Mapping[str, Tensor]
    present: Mapping[str, Bool[Tensor, " B"]]

    def pin_memory(self) -> "PaintedBatch":
        """Return the batch in page-locked memory, from which a GPU copies asynchronously."""
        visible = self.painted.visible
        return PaintedBatch(
            painted=Painted(self.painted.image.pin_memory(), None if visible is None else visible.pin_memory()),
            K=self.K.pin_memory(),
            keys=self.keys,
            sides=self.sides,
            labels={name: value.pin_memory() for name, value in self.labels.items()},
            present={name: value.pin_memory() for name, value in self.present.items()},
        )

    def to_batch(self, device: torch.device | str = "cpu") -> Batch:
        """Return the batch on a device, with pictures (B, 3, H, W) as RGB in [0, 1]; bytes are converted there.

        Pictures painted by a worker are in channels-last memory, which is fastest for convolutions.
        """

        def moved(values: Tensor) -> Tensor:
            return values.to(device, non_blocking=True)

        image = moved(self.painted.image)
        labels = {name: moved(value) for name, value in self.labels.items()}
        if self.painted.visible is not None:
            labels["mask"] = moved(self.painted.visible).bool()
        return Batch(
            image=to_unit_floats(image).permute(0, 3, 1, 2) if image.dtype == torch.uint8 else image,
            K=moved(self.K),
            keys=self.keys,
            sides=self.sides,
            labels=labels,
            present={name: moved(value) for name, value in self.present.items()},
        )


def make_batch(pictures: Pictures, plan: CropPlan, epoch: int) -> PaintedBatch:
    """Return crops of the pictures with their labels: a pure function of its arguments.

    Raises: DataError if a picture cannot be decoded or labels do not match each other.
    """
    placed = place_crops(pictures, plan, epoch)
    painted = pictures.paint(placed)
    labels, present = move_labels(*pictures.labels(), placed.motion)
    if painted.visible is not None:
        present["mask"] = pictures.masked
    return PaintedBatch(
        painted=painted,
        K=torch.from_numpy(placed.K.astype(np.float32)),
        keys=pictures.keys,
        sides=_turn_sides(pictures.sides, placed.draws),
        labels=labels,
        present=present,
    )


def place_crops(pictures: Pictures, plan: CropPlan, epoch: int) -> Placed:
    """Draw the augmentation of each picture, and return where its crop is."""
    if plan.augment is None:
        draws = no_draws(len(pictures.keys))
    else:
        draws = draw(plan.augment, pictures.keys, seed=plan.seed, epoch=epoch, image_px=plan.image_px)
    T_new_old, K, motion = place(draws, pictures.K, pictures.squares(), image_px=plan.image_px)
    return Placed(draws, T_new_old, K, motion, plan)


def _turn_sides(sides: Sequence[Side], draws: Draws) -> tuple[Side, ...]:
    """Return the sides after augmentation: mirroring makes a right hand a left one, and vice versa."""
    return tuple(
        _OTHER_SIDE[side] if mirrored else side for side, mirrored in zip(sides, draws.mirrored.tolist(), strict=True)
    )
