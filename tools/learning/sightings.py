"""The eyes' output for rendered pictures with ground truth: training data of lifter and hand network."""

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

#: The eyes look at a region slightly smaller than that around the joints.
NEARER = 0.9
#: Fraction of the training pictures whose amplitude spectrum is jittered.
SPECTRUM_SHARE = 0.35
#: For measurements, the eyes' box is larger than that of the joints by this fraction of its longer side.
_BOX_MARGIN = 0.1


@dataclass(frozen=True)
class Crops:
    """Two ways to sample training regions: standard deviations of their offsets, in sides, and their frequencies."""

    near: float = 0.05
    far: float = 0.16
    far_share: float = 0.3


def see_chunk(
    engine: Engine, drawn: DrawnHands, seed: int, *, plain: bool, spectrum_share: float = SPECTRUM_SHARE
) -> dict[str, np.ndarray]:
    """Return the arrays of a chunk: `seen_*` and the ground truth.

    With `plain`, for measurements, the eyes find the hand in its box and take five looks, as in `Eyes.look`. Otherwise
    they take two looks at a slightly perturbed region around the true joints, one of them at the mirror image,
    sometimes with a jittered spectrum.
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
    """Return the picture, sometimes with a jittered amplitude spectrum."""
    if random.random() >= share:
        return picture
    return jitter_spectrum(picture, random, strength=random.uniform(0, 2), floor=random.uniform(0, 0.2))


def nearer(regions: Regions) -> Regions:
    """Return slightly smaller regions, at which the looks are taken."""
    return regions.moved(np.zeros((len(regions), 2)), np.full(len(regions), NEARER), np.zeros(len(regions)))


def perturbed(regions: Regions, random: np.random.Generator, size: float) -> Regions:
    """Return randomly moved, scaled and rotated regions."""
    count = len(regions)
    shift = random.normal(0, 0.7 * size, (count, 2))
    return regions.moved(shift, np.exp(random.normal(0, 1.5 * size, count)), random.normal(0, 3 * size, count))
