"""Backgrounds: photos that are part of scikit-image, the user's own photos, and procedural walls, textures and clutter.

A bank of pictures is made once from a seed; every sample then shows a rotated, scaled, recoloured and blurred part of
one of them.
"""

from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from hifihr_core.errors import DataError
from hifihr_core.outside.folders import find_files
from hifihr_core.photos.reading import read_photo
from hifihr_core.synthesis.dice import Dice

#: Photos inside scikit-image's package; none of them shows a hand.
_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "brick", "grass", "gravel", "coins")
_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_MAX_PHOTOS = 400
_BANK_SCALE, _MAX_BANK_PX = 1.5, 480

Picture = UInt8[np.ndarray, "S S 3"]


def make_bank(*, image_px: int, count: int, seed: int, photos: Path | None = None) -> UInt8[Tensor, "N 3 S S"]:
    """Return a bank of square backgrounds: scikit-image's photos, those in `photos`, then `count` procedural ones.

    Their side S is 1.5 times `image_px`, but at most 480 pixels. At most 400 pictures from the folder `photos` and its
    subfolders are used. Raises: DataError if there is no readable picture among them.
    """
    random = np.random.default_rng(seed)
    side_px = min(int(_BANK_SCALE * image_px), _MAX_BANK_PX)
    bank = [_square(_as_rgb(getattr(skimage.data, name)()), side_px) for name in _PHOTOS]
    bank += [_square(picture, side_px) for picture in _read_photos(photos, random)]
    for i in range(count):
        bank.append(_PAINTERS[i % len(_PAINTERS)](bank, random))
    return torch.from_numpy(np.stack(bank)).permute(0, 3, 1, 2).contiguous()


def _read_photos(folder: Path | None, random: np.random.Generator) -> list[np.ndarray]:
    if folder is None:
        return []
    paths = sorted(find_files(folder, _EXTENSIONS))
    chosen = [paths[i] for i in sorted(random.permutation(len(paths))[:_MAX_PHOTOS])]
    found = [picture for picture in map(_read_photo, chosen) if picture is not None]
    if not found:
        raise DataError(
            f"{folder}: no readable picture, expected photos for backgrounds ({', '.join(sorted(_EXTENSIONS))})"
        )
    return found


def _read_photo(path: Path) -> np.ndarray | None:
    try:
        return read_photo(path).image
    except DataError:
        return None


def _as_rgb(picture: UInt8[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "H W 3"]:
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) if picture.ndim == 2 else picture


def _square(picture: UInt8[np.ndarray, "H W 3"], side_px: int) -> Picture:
    """Return the central square of a picture, resized for the bank."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    part = picture[top : top + side, left : left + side]
    return cv2.resize(part, (side_px, side_px), interpolation=cv2.INTER_AREA if side > side_px else cv2.INTER_CUBIC)


def _color(bank: list[Picture], random: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Return a colour from a photo, a skin colour or a grey: a natural palette for procedural pictures."""
    kind = random.random()
    if kind < 0.15:
        return np.array([224.0, 172.0, 140.0]) * random.uniform(0.3, 1.1)
    if kind < 0.45:
        return random.uniform(10, 250) + random.normal(0, 6, 3)
    picture = bank[random.integers(len(bank))]
    return picture[random.integers(len(picture)), random.integers(len(picture))] * random.uniform(0.7, 1.2)


def _clouds(side_px: int, random: np.random.Generator) -> Float[np.ndarray, "S S 1"]:
    """Return smooth noise of several octaves, about -1 to 1."""
    total = np.zeros((side_px, side_px), np.float32)
    for octave in range(1, 7):
        grid = random.normal(size=(2**octave + 1,) * 2).astype(np.float32)
        total += cv2.resize(grid, (side_px, side_px), interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return total[..., None]


def _wall(bank: list[Picture], random: np.random.Generator) -> Picture:
    """Return a plain wall with a gradient of light and a faint texture."""
    side_px = len(bank[0])
    a, b = _color(bank, random), _color(bank, random)
    angle = random.uniform(0, 2 * np.pi)
    v, u = np.mgrid[:side_px, :side_px].astype(np.float32) / side_px - 0.5
    share = np.clip(0.5 + u * np.cos(angle) + v * np.sin(angle), 0, 1)[..., None] * random.uniform(0, 0.5)
    return np.clip(a + (b - a) * share + _clouds(side_px, random) * random.uniform(0, 14), 0, 255).astype(np.uint8)


def _texture(bank: list[Picture], random: np.random.Generator) -> Picture:
    """Return a cloudy texture of two colours, like plants, rugs or stone that are out of focus."""
    a, b = _color(bank, random), _color(bank, random)
    share = np.clip(0.5 + _clouds(len(bank[0]), random) * random.uniform(0.3, 1.2), 0, 1)
    return np.clip(a + (b - a) * share, 0, 255).astype(np.uint8)


def _weave(bank: list[Picture], random: np.random.Generator) -> Picture:
    """Return something like cloth or tiles: a wall with stripes in one to three directions."""
    picture = _wall(bank, random).astype(np.float32)
    v, u = np.mgrid[: len(picture), : len(picture)].astype(np.float32)
    for _ in range(random.integers(1, 4)):
        angle, period = random.uniform(0, np.pi), random.uniform(4, 60)
        wave = np.sin((u * np.cos(angle) + v * np.sin(angle)) * 2 * np.pi / period)
        wave = np.sign(wave) if random.random() < 0.5 else wave
        picture += (wave * random.uniform(3, 25))[..., None] * random.uniform(0.7, 1.0, 3).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _clutter(bank: list[Picture], random: np.random.Generator) -> Picture:
    """Return a cluttered table: shapes cut out of other pictures in the bank, each with a soft shadow."""
    picture = bank[random.integers(len(bank))].copy()
    for _ in range(random.integers(6, 25)):
        layer = np.zeros(picture.shape[:2], np.uint8)
        _SHAPES[random.integers(len(_SHAPES))](layer, random)
        shade = cv2.blur(layer, (len(layer) // 20,) * 2)
        cv2.multiply(picture, cv2.merge([255 - shade // 3] * 3), dst=picture, scale=1 / 255)
        fill = np.rot90(bank[random.integers(len(bank))], int(random.integers(4)))
        cv2.copyTo(np.ascontiguousarray(fill), layer, picture)
    return cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 1.2))


def _ellipse(layer: UInt8[np.ndarray, "S S"], random: np.random.Generator) -> None:
    middle = tuple(random.integers(0, len(layer), 2).tolist())
    axes = tuple((random.uniform(0.02, 0.22, 2) * len(layer)).astype(int).tolist())
    cv2.ellipse(layer, middle, axes, random.uniform(0, 180), 0, 360, 255, -1)


def _box(layer: UInt8[np.ndarray, "S S"], random: np.random.Generator) -> None:
    middle, sides = random.uniform(0, len(layer), 2), random.uniform(0.03, 0.45, 2) * len(layer)
    corners = cv2.boxPoints((tuple(middle.tolist()), tuple(sides.tolist()), random.uniform(0, 90)))
    cv2.fillPoly(layer, [np.rint(corners).astype(np.int32)], 255)


def _cable(layer: UInt8[np.ndarray, "S S"], random: np.random.Generator) -> None:
    size = len(layer)
    points = np.cumsum(random.normal(0, size / 5, (6, 2)), axis=0) + random.uniform(0, size, 2)
    curve = cv2.resize(points.astype(np.float32), (2, 60), interpolation=cv2.INTER_CUBIC)
    cv2.polylines(layer, [np.rint(curve).astype(np.int32)], False, 255, int(random.integers(2, 22)))


_SHAPES = (_ellipse, _box, _cable)
_PAINTERS = (_wall, _clutter, _texture, _clutter, _weave, _clutter)


def draw_backdrops(bank: UInt8[Tensor, "N 3 S S"], size_px: tuple[int, int], dice: Dice) -> Float[Tensor, "B 3 H W"]:
    """Return a background for each sample: part of a random picture from the bank, changed at random.

    It is rotated, scaled and recoloured, and may be mirrored and out of focus. `size_px` is (height, width). Values are
    RGB in [0, 1].
    """
    which = dice.integer(bank.shape[0]).to(bank.device)
    angle = 0.25 * dice.normal()
    zoom = dice.log_uniform(0.3, 0.95)
    mirror = torch.where(dice.chance(0.5), -1.0, 1.0)
    room = (1 - zoom * 1.3).clamp(min=0)
    theta = torch.zeros(dice.batch, 2, 3, device=dice.device)
    flat = size_px[0] / size_px[1]
    theta[:, 0, 0], theta[:, 0, 1] = mirror * zoom * angle.cos(), -zoom * angle.sin() * flat
    theta[:, 1, 0], theta[:, 1, 1] = mirror * zoom * angle.sin(), zoom * angle.cos() * flat
    theta[:, :, 2] = room[:, None] * dice.uniform(-1.0, 1.0, 2)
    grid = F.affine_grid(theta, [dice.batch, 3, *size_px], align_corners=False)
    shown = F.grid_sample(bank[which].float(), grid, padding_mode="reflection", align_corners=False)
    gain = dice.log_uniform(0.45, 1.5)[:, None] * (1 + 0.05 * dice.normal(3)) / 255
    return (_defocus(shown, dice) * gain[..., None, None]).clamp(0, 1)


def _defocus(image: Float[Tensor, "B 3 H W"], dice: Dice) -> Float[Tensor, "B 3 H W"]:
    """Blend each picture with a smaller copy of itself: an out-of-focus background for the cost of a resize."""
    small = F.avg_pool2d(image, 4)
    smaller = F.avg_pool2d(small, 3, 1, 1, count_include_pad=False)
    level = (dice.uniform(0.0, 2.0) * dice.chance(0.65))[:, None, None, None]
    soft = torch.lerp(small, smaller, (level - 1).clamp(0, 1))
    soft = F.interpolate(soft, size=image.shape[-2:], mode="bilinear", align_corners=False)
    return torch.lerp(image, soft, level.clamp(0, 1))
