"""Augmentation: one function draws all random numbers of a batch, and another converts them to geometry.

A picture is rolled about the principal point, cropped to the network's square, scaled and shifted. The roll R is exact
for 3D labels and any K: pixels move by K R K^-1, which is affine. Colours, blur, noise and occlusion are applied to the
finished crop (`augmentation.colors`). Draws are pure functions of (seed, epoch, sample key).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from hifihr_core.augmentation.moves import Motion
from hifihr_core.augmentation.moving_loops import place_crops
from hifihr_core.randomness import uniforms


@dataclass(frozen=True)
class AugmentRanges:
    """Ranges of the changes; `NO_CHANGE` does nothing. Probabilities are per picture.

    `rotation_rad` is the largest roll to either side, `scale` the range of scales (log-uniform), `shift` the largest
    shift to either side as a fraction of the crop. `flip` is the probability that a picture is mirrored, so that it
    shows a left hand: use it only to train on left hands. `brightness`, `contrast`, `saturation` and `white_balance`
    are the largest relative changes; `gamma` is the range of the exponent. `noise` is the largest standard deviation of
    the noise, for values in [0, 1]. A rectangle covers part of the crop with `cover_probability`; `cover_side` is the
    range of its sides as fractions of the crop.
    """

    rotation_rad: float = np.pi
    scale: tuple[float, float] = (0.85, 1.2)
    shift: float = 0.08
    flip: float = 0.0
    brightness: float = 0.25
    contrast: float = 0.25
    saturation: float = 0.4
    white_balance: float = 0.12
    gamma: tuple[float, float] = (0.7, 1.45)
    gamma_probability: float = 0.3
    blur_sigma_px: tuple[float, float] = (0.4, 1.6)
    blur_probability: float = 0.15
    noise: float = 0.04
    noise_probability: float = 0.5
    jpeg_quality: tuple[int, int] = (30, 90)
    jpeg_probability: float = 0.03
    cover_side: tuple[float, float] = (0.1, 0.35)
    cover_probability: float = 0.3


#: Used in evaluation: crops are not changed.
NO_CHANGE = AugmentRanges(
    rotation_rad=0.0,
    scale=(1.0, 1.0),
    shift=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    white_balance=0.0,
    gamma_probability=0.0,
    blur_probability=0.0,
    noise_probability=0.0,
    jpeg_probability=0.0,
    cover_probability=0.0,
)


_OFFSET_IN_UINT8 = np.array([1.0, 1.0, 1.0, 255.0])


class PixelChanges(NamedTuple):
    """The changes of one picture's pixels, for colours from 0 to 255; the fields are as in `Draws`.

    None, 0 and, for `gamma`, 1 mean no change.
    """

    cover_px: tuple[int, int, int, int] | None
    cover_color: tuple[float, float, float]
    blur_sigma_px: float
    color_uint8: Float[np.ndarray, "3 4"] | None
    gamma: float
    noise: float
    noise_seed: int
    jpeg_quality: int


@dataclass(frozen=True)
class Draws:
    """The augmentation of each picture in a batch, as drawn at random from `AugmentRanges`.

    `shift` is a fraction of the crop. `color` maps (r, g, b, 1) in [0, 1] to new (r, g, b). `blur_sigma_px`, `noise`
    (its standard deviation) and `jpeg_quality` are 0 for pictures without them; `noise_seed` picks a part of the noise
    tile. `cover_px` is (x0, y0, x1, y1) in whole pixels of the crop, with x0 = x1 if nothing is covered; `cover_color`
    is its RGB in [0, 1].
    """

    mirrored: Bool[np.ndarray, " B"]
    angle_rad: Float[np.ndarray, " B"]
    scale: Float[np.ndarray, " B"]
    shift: Float[np.ndarray, "B 2"]
    color: Float[np.ndarray, "B 3 4"]
    gamma: Float[np.ndarray, " B"]
    blur_sigma_px: Float[np.ndarray, " B"]
    noise: Float[np.ndarray, " B"]
    noise_seed: Int64[np.ndarray, " B"]
    jpeg_quality: Int64[np.ndarray, " B"]
    cover_px: Int64[np.ndarray, "B 4"]
    cover_color: Float[np.ndarray, "B 3"]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.scale)

    @cached_property
    def pixel_changes(self) -> tuple["PixelChanges", ...]:
        """Return the changes of each picture's pixels, which follow the warp, as plain numbers."""
        x0, y0, x1, y1 = self.cover_px.T
        columns = (
            self.cover_px,
            (x1 > x0) & (y1 > y0),
            np.rint(255 * self.cover_color),
            self.blur_sigma_px,
            (self.color != np.eye(3, 4)).any(axis=(1, 2)),
            self.gamma,
            self.noise,
            self.noise_seed,
            self.jpeg_quality,
        )
        colors_uint8 = self.color * _OFFSET_IN_UINT8
        return tuple(
            PixelChanges(cover if covered else None, tint, blur, colors_uint8[b] if recolored else None, *others)
            for b, (cover, covered, tint, blur, recolored, *others) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True)
            )
        )


#: The purpose of each column of random numbers. New names are appended, so that old draws never change.
COLUMNS = (
    "mirrored",
    "angle",
    "scale",
    *("shift_u", "shift_v"),
    *("white_red", "white_green", "white_blue", "saturation", "contrast", "brightness"),
    *("is_gamma", "gamma"),
    *("is_blur", "blur"),
    *("is_noise", "noise", "noise_seed"),
    *("cover_width", "cover_height", "cover_u", "cover_v", "is_cover"),
    *("is_jpeg", "jpeg"),
    *("cover_red", "cover_green", "cover_blue"),
)


def draw(ranges: AugmentRanges, keys: Sequence[str], *, seed: int, epoch: int, image_px: int) -> Draws:
    """Draw the augmentation of each sample for crops of `image_px` pixels.

    The draws of sample b depend only on (seed, epoch, ``keys[b]``), the ranges and `image_px`.
    """
    low, span, probability = _scales(ranges)
    u = uniforms(keys, len(COLUMNS), seed, epoch, "augment")
    value = dict(zip(COLUMNS, np.ascontiguousarray((low + span * u).T), strict=True))
    happens = dict(zip(COLUMNS, np.ascontiguousarray((u < probability).T), strict=True))

    def several(*names: str) -> np.ndarray:
        return np.stack([value[name] for name in names])

    is_cover = happens["is_cover"]
    return Draws(
        mirrored=happens["mirrored"],
        angle_rad=value["angle"],
        scale=np.exp(value["scale"]),
        shift=several("shift_u", "shift_v").T.copy(),
        color=_color_matrices(
            *(value[name] for name in ("saturation", "contrast", "brightness")),
            gain=several("white_red", "white_green", "white_blue").T,
        ),
        gamma=np.where(happens["is_gamma"], value["gamma"], 1.0),
        blur_sigma_px=value["blur"] * happens["is_blur"],
        noise=ranges.noise * value["noise"] ** 2 * happens["is_noise"],
        noise_seed=value["noise_seed"].astype(np.int64),
        jpeg_quality=(value["jpeg"] * happens["is_jpeg"]).astype(np.int64),
        cover_px=_covers(several("cover_u", "cover_v"), several("cover_width", "cover_height") * is_cover, image_px),
        cover_color=several("cover_red", "cover_green", "cover_blue").T.copy(),
    )


@lru_cache(maxsize=8)
def _scales(ranges: AugmentRanges) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (low, span, probability) of each column of random numbers u in [0, 1).

    A column is either a value, ``low + span * u``, or the decision whether to change a picture, ``u < probability``.
    """
    between = {
        "angle": (-ranges.rotation_rad, ranges.rotation_rad),
        "scale": (np.log(ranges.scale[0]), np.log(ranges.scale[1])),
        "gamma": ranges.gamma,
        "blur": ranges.blur_sigma_px,
        "jpeg": ranges.jpeg_quality,
        "noise_seed": (0, 2**31),
        **dict.fromkeys(("shift_u", "shift_v"), (-ranges.shift, ranges.shift)),
        **dict.fromkeys(("cover_width", "cover_height"), ranges.cover_side),
        **dict.fromkeys(
            ("white_red", "white_green", "white_blue"), (1 - ranges.white_balance, 1 + ranges.white_balance)
        ),
        "saturation": (1 - ranges.saturation, 1 + ranges.saturation),
        "contrast": (1 - ranges.contrast, 1 + ranges.contrast),
        "brightness": (1 - ranges.brightness, 1 + ranges.brightness),
    }
    chances = {
        "mirrored": ranges.flip,
        **{
            f"is_{name}": getattr(ranges, f"{name}_probability") for name in ("gamma", "blur", "noise", "jpeg", "cover")
        },
    }
    low, high = np.array([between.get(name, (0.0, 1.0)) for name in COLUMNS], dtype=np.float64).T
    return low, high - low, np.array([chances.get(name, 0.0) for name in COLUMNS], dtype=np.float64)


@lru_cache(maxsize=8)
def no_draws(count: int) -> Draws:
    """Return draws that do not change `count` pictures."""
    return draw(NO_CHANGE, [""] * count, seed=0, epoch=0, image_px=1)


_GREY = np.array([0.299, 0.587, 0.114])


def _color_matrices(
    saturation: Float[np.ndarray, " B"],
    contrast: Float[np.ndarray, " B"],
    brightness: Float[np.ndarray, " B"],
    *,
    gain: Float[np.ndarray, "B 3"],
) -> Float[np.ndarray, "B 3 4"]:
    """Return one affine map of RGB for white balance (`gain`), saturation, contrast about mid-grey and brightness."""
    color = np.empty((len(gain), 3, 4))
    color[..., :3] = (1 - saturation)[:, None, None] * _GREY
    color[:, [0, 1, 2], [0, 1, 2]] += saturation[:, None]
    color[..., :3] *= (brightness * contrast)[:, None, None] * gain[:, None, :]
    color[..., 3] = (brightness * 0.5 * (1 - contrast))[:, None]
    return color


def _covers(u: Float[np.ndarray, "2 B"], sides: Float[np.ndarray, "2 B"], image_px: int) -> Int64[np.ndarray, "B 4"]:
    """Return rectangles x0, y0, x1, y1 (pixels) with these centres `u` and sides (fractions of the crop)."""
    low = np.clip(u - sides / 2, 0, 1) * image_px
    high = np.clip(u + sides / 2, 0, 1) * image_px
    high = np.where(sides > 0, high, low)
    return np.rint(np.concatenate((low, high)).T).astype(np.int64)


@dataclass(frozen=True)
class Squares:
    """The square that the network sees of each picture, before augmentation: its centre and side, pixels.

    `width_px` is the width of the whole picture, which is needed to mirror it.
    """

    center_px: Float[np.ndarray, "B 2"]
    side_px: Float[np.ndarray, " B"]
    width_px: Float[np.ndarray, " B"]


def place(
    draws: Draws, K: Float[np.ndarray, "B 3 3"], squares: Squares, *, image_px: int
) -> tuple[Float[np.ndarray, "B 3 3"], Float[np.ndarray, "B 3 3"], Motion]:
    """Return (T_new_old, K_new, motion): how pixels, cameras and labels of each picture move to its crop.

    The roll rotates picture and square about the principal point, so the square shows the same part of the scene; scale
    and shift then change only the square. Arrays are float64, the tensors of `motion` float32.
    """
    T_new_old, K_new, M_new_old = (np.empty((len(draws), 3, 3)) for _ in range(3))
    place_crops(
        draws.angle_rad,
        draws.mirrored,
        draws.scale * image_px / squares.side_px,
        (0.5 + draws.shift) * image_px,
        K,
        squares.center_px,
        squares.width_px,
        T_new_old,
        K_new,
        M_new_old,
    )
    motion = Motion(
        T_new_old=torch.from_numpy(T_new_old.astype(np.float32)),
        M_new_old=torch.from_numpy(M_new_old.astype(np.float32)),
        mirrored=torch.from_numpy(draws.mirrored),
    )
    return T_new_old, K_new, motion
