"""Environment light: a bank of environment maps, procedural or the user's, and the light of each map.

A map is small (16 x 32, linear radiance), latitude by longitude, with the zenith at the top. The part that is much
brighter than the rest becomes directional light, so that it can cast a shadow; the rest becomes the sky.
"""

import math
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hifihr_core.errors import DataError
from hifihr_core.outside.folders import find_files
from hifihr_core.outside.whole_files import read_whole
from hifihr_core.records import Light
from hifihr_core.rendering.skylight import sky_from_radiance
from hifihr_core.synthesis.dice import Dice

ROWS, COLUMNS = 16, 32
_EXTENSIONS = frozenset({".hdr", ".exr"})
#: A Radiance map of 16k x 8k pixels has half of that.
_MOST_MAP_BYTES = 1 << 30
#: Radiance above this multiple of a map's mean, within this cosine of the brightest spot, belongs to its lamp or sun.
_GLARING, _LAMP = 4.0, math.cos(math.radians(35))
#: Colours of daylight and lamps from 2700 to 9000 kelvin are close to this line through white: red up, blue down.
_WARM = np.array([0.30, 0.02, -0.42])


def make_environments(*, count: int, seed: int, folder: Path | None = None) -> Float[Tensor, "N 16 32 3"]:
    """Return a bank of `count` procedural maps or, if `folder` is given, of its `.hdr` and `.exr` files instead.

    Raises: DataError if the folder has no readable map.
    """
    if folder is not None:
        return torch.from_numpy(np.stack(_read_maps(folder)))
    random = np.random.default_rng(seed)
    maps = [_PLACES[number % len(_PLACES)](random) for number in range(count)]
    return torch.from_numpy(np.stack(maps).astype(np.float32))


def draw_environments(bank: Float[Tensor, "N 16 32 3"], dice: Dice) -> Light:
    """Return the light of a random map from the bank for each sample, in the camera frame.

    The map is rotated at random about the vertical; the camera looks slightly up or down, and is slightly tilted. A
    white sphere in this light has a mean brightness of 1.
    """
    directions, angles = (x.to(bank) for x in map_directions())
    radiance = bank[dice.integer(len(bank)).to(bank.device)].flatten(1, 2)
    turned = directions @ _turns(dice.uniform(0.0, 2 * math.pi), dice.normal() * 0.3, 0.1 * dice.normal()).mT
    return light_of(radiance, turned, angles)


def light_of(
    radiance: Float[Tensor, "B N 3"], directions: Float[Tensor, "B N 3"], solid_angles: Float[Tensor, " N"]
) -> Light:
    """Return the light of surroundings given by samples, as in `sky_from_radiance`, with a directional part.

    The surplus of the brightest spot becomes directional light, the rest the sky. The light is scaled to a mean
    brightness of 1 on a white sphere.
    """
    share = solid_angles / (4 * math.pi)
    level = radiance.mean(dim=-1)
    limit = _GLARING * (level * share).sum(dim=1, keepdim=True)
    brightest = directions.gather(1, level.argmax(dim=1)[:, None, None].expand(-1, 1, 3))
    near = (directions * brightest).sum(dim=-1) > _LAMP
    kept = torch.where(near & (level > limit), limit / level.clamp_min(1e-9), torch.ones_like(level))
    taken = radiance * (1 - kept)[..., None] * solid_angles[:, None] / math.pi
    color = taken.sum(dim=1)
    weight = taken.mean(dim=-1, keepdim=True)
    direction = functional.normalize((weight * directions).sum(dim=1) + 1e-6 * brightest[:, 0], dim=1)
    sky = sky_from_radiance(radiance * kept[..., None], directions, solid_angles)
    assert sky.sky is not None
    scale = 1 / (sky.ambient + color / 4).mean(dim=1, keepdim=True).clamp_min(1e-9)
    return Light(sky.ambient * scale, color * scale, direction, sky.sky * scale[:, None])


def map_directions() -> tuple[Float[Tensor, "512 3"], Float[Tensor, " 512"]]:
    """Return the direction (x right, y down, z forward) and the solid angle of every texel of a map."""
    polar = (torch.arange(ROWS) + 0.5) / ROWS * math.pi
    around = (torch.arange(COLUMNS) + 0.5) / COLUMNS * 2 * math.pi
    polar, around = torch.meshgrid(polar, around, indexing="ij")
    points = torch.stack((polar.sin() * around.cos(), -polar.cos(), polar.sin() * around.sin()), dim=-1)
    area = polar.sin()
    return points.reshape(-1, 3), (4 * math.pi * area / area.sum()).reshape(-1)


def _turns(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Float[Tensor, "B 3 3"]:
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def about(axis: int, angle: Tensor) -> Tensor:
        c, s = angle.cos(), angle.sin()
        rows = {
            0: (one, zero, zero, zero, c, -s, zero, s, c),
            1: (c, zero, s, zero, one, zero, -s, zero, c),
            2: (c, -s, zero, s, c, zero, zero, zero, one),
        }[axis]
        return torch.stack(rows, dim=-1).reshape(-1, 3, 3)

    return about(2, roll) @ about(0, pitch) @ about(1, yaw)


def _read_maps(folder: Path) -> list[np.ndarray]:
    maps = [shrunk for path in sorted(find_files(folder, _EXTENSIONS)) if (shrunk := _read_map(path)) is not None]
    if not maps:
        raise DataError(
            f"{folder}: no readable environment map, expected latitude-longitude pictures in Radiance's .hdr format "
            "(.exr is readable only if OpenCV was built with support for it)"
        )
    return maps


def _read_map(path: Path) -> np.ndarray | None:
    try:
        content = np.frombuffer(read_whole(path, most_bytes=_MOST_MAP_BYTES), np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except (cv2.error, DataError):
        return None
    if picture is None or picture.dtype != np.float32:
        return None
    rgb = cv2.cvtColor(np.nan_to_num(picture).clip(0, 6e4), cv2.COLOR_BGR2RGB)
    return cv2.resize(rgb, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)


def _tint(random: np.random.Generator, warm: float, spread: float) -> Float[np.ndarray, "3"]:
    green = np.array([-0.3, 1.0, -0.3]) * random.normal(0, 0.02)
    return np.exp(_WARM * random.normal(warm, spread) + green)


def _lobe(middle: np.ndarray, width_rad: float) -> Float[np.ndarray, "16 32"]:
    directions = map_directions()[0].numpy().reshape(ROWS, COLUMNS, 3)
    return np.exp((directions @ (middle / np.linalg.norm(middle)) - 1) / width_rad**2)


def _base(random: np.random.Generator, up: float, down: float, warm: float) -> Float[np.ndarray, "16 32 3"]:
    """Return surroundings with a gradient from ceiling or sky to floor, and smooth blotches."""
    height = np.cos((np.arange(ROWS) + 0.5) / ROWS * np.pi)[:, None, None]
    share = 1 / (1 + np.exp(-6 * height))
    floor = _tint(random, 0.3, 0.4) * down * np.array([1.05, 1.0, 0.93])
    blotches = cv2.resize(random.normal(0, 0.5, (4, 8)), (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    return (_tint(random, warm, 0.25) * up * share + floor * (1 - share)) * np.exp(blotches)[..., None]


def _direction(random: np.random.Generator, lowest: float, highest: float) -> np.ndarray:
    """Return a unit vector (y down) whose height, from -1 (straight down) to 1 (straight up), is between two bounds."""
    height, around = random.uniform(lowest, highest), random.uniform(0, 2 * np.pi)
    ring = np.sqrt(1 - height**2)
    return np.array([ring * np.cos(around), -height, ring * np.sin(around)])


def _room(random: np.random.Generator) -> Float[np.ndarray, "16 32 3"]:
    """Return a room: one to three lamps overhead, sometimes a window."""
    map_ = _base(random, random.uniform(0.3, 0.9), random.uniform(0.1, 0.5), 0.2)
    for _ in range(random.integers(1, 4)):
        width, power = random.uniform(0.12, 0.4), np.exp(random.normal(2.2, 0.7))
        map_ = map_ + _tint(random, 0.5, 0.45) * power * _lobe(_direction(random, 0.3, 0.98), width)[..., None]
    return map_ + (_window(random, map_) if random.random() < 0.5 else 0)


def _window(random: np.random.Generator, behind: np.ndarray) -> Float[np.ndarray, "16 32 3"]:
    power = np.exp(random.normal(2.3, 0.6))
    lobe = _lobe(_direction(random, -0.1, 0.4), random.uniform(0.25, 0.5))
    return _tint(random, -0.4, 0.3) * power * lobe[..., None]


def _by_window(random: np.random.Generator) -> Float[np.ndarray, "16 32 3"]:
    """Return a room lit by a window."""
    map_ = _base(random, random.uniform(0.15, 0.5), random.uniform(0.1, 0.35), 0.0)
    return map_ + _window(random, map_)


def _outdoors(random: np.random.Generator) -> Float[np.ndarray, "16 32 3"]:
    """Return an outdoor sky, with a sun in half of the cases."""
    map_ = _base(random, random.uniform(0.8, 1.6), random.uniform(0.1, 0.5), -0.5)
    if random.random() < 0.5:
        height = random.uniform(0.1, 0.95)
        sun = np.exp(random.normal(4.0, 0.6))
        map_ = (
            map_
            + _tint(random, 0.8 * (1 - height), 0.15) * sun * _lobe(_direction(random, height, height), 0.12)[..., None]
        )
    return map_


_PLACES = (_room, _by_window, _outdoors, _room)
