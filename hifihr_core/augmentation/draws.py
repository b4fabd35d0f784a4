"""Augmentation: one function draws all random numbers of a batch, another converts them to geometry.

A sample is rolled about the principal point (exact for 3D labels and any K: the pixels move by K R K^-1, which is
affine), cropped to the network's square, scaled and shifted. Colours, blur, noise and occlusion are applied to the
finished crop (`photometric`). Draws are pure functions of (seed, epoch, sample key).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from hifihr_core.augmentation.moves import Motion
from hifihr_core.randomness import uniforms


@dataclass(frozen=True)
class AugmentRanges:
    """Ranges of the changes; `NO_CHANGE` does nothing. Probabilities are per picture.

    `rotation_rad` is the largest roll to either side, `scale` the range of scales (log-uniform), `shift` the largest
    shift to either side as a fraction of the crop. `flip` mirrors a picture, which then shows a left hand: only for
    training on left hands. `brightness`, `contrast`, `saturation` and `white_balance` are the largest relative changes;
    `gamma` is the range of the exponent. Sizes of occluding rectangles are fractions of the crop.
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


@dataclass(frozen=True)
class Draws:
    """The random numbers of a batch, ready to use. Zero in `blur_sigma_px`, `noise`, `jpeg_quality` means none.

    `color` maps (r, g, b, 1) in [0, 1] to new (r, g, b). `cover_px` is (x0, y0, x1, y1) in whole pixels of the crop,
    empty if nothing occludes the hand; `cover_color` is its RGB in [0, 1]. `noise_seed` picks a tile of the noise.
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
    def recolored(self) -> tuple[bool, ...]:
        """Return whether `color` changes anything, per picture."""
        return tuple((self.color != np.eye(3, 4)).any(axis=(1, 2)).tolist())


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
    """Draw the augmentation of each sample: row b depends only on (seed, epoch, ``keys[b]``) and the ranges."""
    u = dict(zip(COLUMNS, uniforms(keys, len(COLUMNS), seed, epoch, "augment").T, strict=True))

    def between(name: str, low: float | int, high: float | int) -> np.ndarray:
        return low + (high - low) * u[name]

    def sometimes(name: str, probability: float, values: np.ndarray) -> np.ndarray:
        return np.where(u[f"is_{name}"] < probability, values, 0)

    def several(*names: str) -> np.ndarray:
        return np.stack([u[name] for name in names])

    low, high = np.log(ranges.scale[0]), np.log(ranges.scale[1])
    sides = np.stack((between("cover_width", *ranges.cover_side), between("cover_height", *ranges.cover_side)))
    shift = ranges.shift
    return Draws(
        mirrored=u["mirrored"] < ranges.flip,
        angle_rad=between("angle", -ranges.rotation_rad, ranges.rotation_rad),
        scale=np.exp(between("scale", low, high)),
        shift=np.stack((between("shift_u", -shift, shift), between("shift_v", -shift, shift)), axis=-1),
        color=_color_matrices(
            ranges, several("white_red", "white_green", "white_blue", "saturation", "contrast", "brightness")
        ),
        gamma=np.where(u["is_gamma"] < ranges.gamma_probability, between("gamma", *ranges.gamma), 1.0),
        blur_sigma_px=sometimes("blur", ranges.blur_probability, between("blur", *ranges.blur_sigma_px)),
        noise=sometimes("noise", ranges.noise_probability, ranges.noise * u["noise"] ** 2),
        noise_seed=(u["noise_seed"] * 2**31).astype(np.int64),
        jpeg_quality=sometimes("jpeg", ranges.jpeg_probability, between("jpeg", *ranges.jpeg_quality)).astype(np.int64),
        cover_px=_covers(several("cover_u", "cover_v"), sometimes("cover", ranges.cover_probability, sides), image_px),
        cover_color=several("cover_red", "cover_green", "cover_blue").T.copy(),
    )


@lru_cache(maxsize=8)
def no_draws(count: int) -> Draws:
    """Return draws that do not change `count` pictures."""
    return draw(NO_CHANGE, [""] * count, seed=0, epoch=0, image_px=1)


def _color_matrices(ranges: AugmentRanges, u: Float[np.ndarray, "6 B"]) -> Float[np.ndarray, "B 3 4"]:
    """Return white balance, then saturation, contrast about mid-grey and brightness, as one affine map of RGB."""
    signed = 2 * u - 1
    gain = 1 + ranges.white_balance * signed[:3].T
    saturation = 1 + ranges.saturation * signed[3]
    contrast = 1 + ranges.contrast * signed[4]
    brightness = 1 + ranges.brightness * signed[5]
    grey = np.array([0.299, 0.587, 0.114])
    mix = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * grey
    linear = (brightness * contrast)[:, None, None] * mix * gain[:, None, :]
    offset = brightness * 0.5 * (1 - contrast)
    return np.concatenate((linear, np.broadcast_to(offset[:, None, None], (len(offset), 3, 1))), axis=-1)


def _covers(u: Float[np.ndarray, "2 B"], sides: Float[np.ndarray, "2 B"], image_px: int) -> Int64[np.ndarray, "B 4"]:
    """Return rectangles of the given sides (fractions of the crop), centred anywhere in the crop."""
    low = np.clip(u - sides / 2, 0, 1) * image_px
    high = np.clip(u + sides / 2, 0, 1) * image_px
    high = np.where(sides > 0, high, low)
    return np.rint(np.concatenate((low, high)).T).astype(np.int64)


@dataclass(frozen=True)
class Squares:
    """The square that the network sees in every picture, before augmentation."""

    center_px: Float[np.ndarray, "B 2"]
    side_px: Float[np.ndarray, " B"]
    width_px: Float[np.ndarray, " B"]


def place(
    draws: Draws, K: Float[np.ndarray, "B 3 3"], squares: Squares, *, image_px: int
) -> tuple[Float[np.ndarray, "B 3 3"], Float[np.ndarray, "B 3 3"], Motion]:
    """Return (T_new_old, K_new, motion): the geometry of every picture in a batch; arrays in float64, motion in
    float32.

    The roll rotates picture and crop about the principal point, so the crop shows the same part of the scene; scale and
    shift then change only the crop.
    """
    T_flip, mirror = _flips(draws, squares)
    K_flipped = T_flip @ K @ mirror
    roll = _rolls(draws.angle_rad)
    turned = (draws.angle_rad != 0) | draws.mirrored
    T_rolled = np.tile(np.eye(3), (len(draws), 1, 1))  # exact without a roll: K K^-1 is rounded for many K
    T_rolled[turned] = (K_flipped @ roll)[turned] @ np.linalg.inv(K_flipped[turned]) @ T_flip[turned]
    center = (T_rolled @ np.concatenate((squares.center_px, np.ones((len(draws), 1))), axis=1)[..., None])[:, :2, 0]
    zoom = draws.scale * image_px / squares.side_px
    T_crop = np.zeros_like(T_flip)
    T_crop[:, 0, 0] = T_crop[:, 1, 1] = zoom
    T_crop[:, :2, 2] = image_px / 2 + draws.shift * image_px - zoom[:, None] * center
    T_crop[:, 2, 2] = 1
    T_new_old = T_crop @ T_rolled
    T_new_old[:, 2] = (0, 0, 1)  # likewise
    motion = Motion(
        T_new_old=torch.from_numpy(T_new_old.astype(np.float32)),
        M_new_old=torch.from_numpy((roll @ mirror).astype(np.float32)),
        mirrored=torch.from_numpy(draws.mirrored),
    )
    return T_new_old, T_crop @ K_flipped, motion


def _flips(draws: Draws, squares: Squares) -> tuple[Float[np.ndarray, "B 3 3"], Float[np.ndarray, "B 3 3"]]:
    """Return the mirroring of pixels and of the camera frame per sample; identities if it is not mirrored."""
    sign = np.where(draws.mirrored, -1.0, 1.0)
    mirror = np.tile(np.eye(3), (len(draws), 1, 1))
    mirror[:, 0, 0] = sign
    T_flip = mirror.copy()
    T_flip[:, 0, 2] = np.where(draws.mirrored, squares.width_px, 0.0)
    return T_flip, mirror


def _rolls(angle_rad: Float[np.ndarray, " B"]) -> Float[np.ndarray, "B 3 3"]:
    """Return the rotation about the optical axis that turns +x towards +y (clockwise in the picture)."""
    cos, sin, zero, one = np.cos(angle_rad), np.sin(angle_rad), np.zeros_like(angle_rad), np.ones_like(angle_rad)
    return np.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), axis=-1).reshape(-1, 3, 3)
