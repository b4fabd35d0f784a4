"""What the eyes say of drawn pictures, beside the truth: the data that lifter and hand network learn from."""

from dataclasses import dataclass

import numpy as np
from learning.drawn_hands import DrawnHands

from hifihr_core.augmentation.spectrum import jitter_spectrum
from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.in_box import look_in_boxes
from hifihr_core.eyes.looks import LOOKS
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, about_joints
from hifihr_core.eyes.sightings import Sightings, look_at

#: The looks of the eyes are taken a little nearer than the region about the joints.
NEARER = 0.9
#: Part of the pictures to learn from whose amplitude spectrum is jittered.
SPECTRUM_SHARE = 0.35
#: The box that measuring gives the eyes is larger than that of the joints by this share of its longer side.
_BOX_MARGIN = 0.1


@dataclass(frozen=True)
class Crops:
    """Two ways to draw the regions to learn from: how far off they are (standard deviation, in sides), how often."""

    near: float = 0.05
    far: float = 0.16
    far_share: float = 0.3


def see_chunk(
    engine: Engine, drawn: DrawnHands, seed: int, *, plain: bool, spectrum_share: float = SPECTRUM_SHARE
) -> dict[str, np.ndarray]:
    """Return the arrays of a chunk: `seen_*` beside the truth.

    `plain` is for measuring: the eyes find the hand in its box and take five looks, as in `Eyes.look`. Otherwise two
    looks are taken at a region about the true joints, a little off, one of them at the mirror image, with a jittered
    spectrum at times.
    """
    random = np.random.default_rng(seed)
    share = 0.0 if plain else spectrum_share
    rows = [_see(engine, drawn, row, random, plain, share) for row in range(len(drawn.pictures))]
    return {**drawn.truth, **{f"seen_{name}": np.stack([row[name] for row in rows]) for name in rows[0]}}


def _see(
    engine: Engine, drawn: DrawnHands, row: int, random: np.random.Generator, plain: bool, spectrum_share: float
) -> dict[str, np.ndarray]:
    true_px = drawn.truth["joints_px"][row : row + 1].astype(np.float64)
    if plain:
        pyramid = Pyramid(drawn.picture(row))
        regions = look_in_boxes(engine, pyramid, _box(true_px)).regions().repeated(len(LOOKS))
        regions = regions.moved(LOOKS[:, :2], NEARER * (1 + LOOKS[:, 2]), LOOKS[:, 3])
        return _kept(look_at(engine, pyramid, regions, mirrored=LOOKS[:, 4] > 0))
    pyramid = Pyramid(jittered(drawn.picture(row), random, spectrum_share))
    regions = perturbed(nearer(about_joints(true_px).repeated(2)), random, Crops.near)
    return _kept(look_at(engine, pyramid, regions, mirrored=np.array([False, True])))


def _box(joints_px: np.ndarray) -> np.ndarray:
    low, high = joints_px.min(axis=1), joints_px.max(axis=1)
    margin = _BOX_MARGIN * (high - low).max(axis=1, keepdims=True)
    return np.concatenate((low - margin, high + margin), axis=1)


def _kept(looks: Sightings) -> dict[str, np.ndarray]:
    return {
        "joints_px": looks.joints_px.astype(np.float32),
        "depth_px": looks.depth_px.mean(axis=0).astype(np.float32),
        "metres": looks.metres.mean(axis=0).astype(np.float32),
        "presence": looks.presence.mean().astype(np.float32),
        "right": looks.right.mean().astype(np.float32),
    }


def jittered(picture: np.ndarray, random: np.random.Generator, share: float = SPECTRUM_SHARE) -> np.ndarray:
    """Return the picture, with a jittered amplitude spectrum at times."""
    if random.random() >= share:
        return picture
    return jitter_spectrum(picture, random, strength=random.uniform(0, 2), floor=random.uniform(0, 0.2))


def nearer(regions: Regions) -> Regions:
    """Return the regions as the looks are taken at them."""
    return regions.moved(np.zeros((len(regions), 2)), np.full(len(regions), NEARER), np.zeros(len(regions)))


def perturbed(regions: Regions, random: np.random.Generator, size: float) -> Regions:
    """Return regions that are moved, scaled and turned at random."""
    count = len(regions)
    shift = random.normal(0, 0.7 * size, (count, 2))
    return regions.moved(shift, np.exp(random.normal(0, 1.5 * size, count)), random.normal(0, 3 * size, count))
