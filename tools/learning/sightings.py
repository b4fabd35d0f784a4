"""What the landmark network says of drawn pictures, beside the truth: the data that lifter and hand network learn from.

The first blocks of the network stay as they are, so what they see is kept and never computed again.
"""

from dataclasses import dataclass

import numpy as np
from learning.drawn_hands import DrawnHands
from learning.feature_engine import FeatureEngine

from hifihr_core.augmentation.spectrum import jitter_spectrum
from hifihr_core.eyes.looks import LOOKS
from hifihr_core.eyes.networks import LANDMARK_PX
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, about_joints

#: The looks of the eyes are taken a little nearer than the region about the joints.
NEARER = 0.9
_SPECTRUM_SHARE = 0.4
_PLAIN_ROUNDS = 2


@dataclass(frozen=True)
class Looks:
    """K looks at one right hand, in pixels of its picture; the body's map and the crop are those of the first look."""

    joints_px: np.ndarray
    depth_px: np.ndarray
    metres: np.ndarray
    presence: np.ndarray
    right: np.ndarray
    features: np.ndarray
    body: np.ndarray
    T_crop_photo: np.ndarray


def see_chunk(engine: FeatureEngine, drawn: DrawnHands, seed: int, *, plain: bool) -> dict[str, np.ndarray]:
    """Return the arrays of a chunk: `seen_*` beside the truth.

    `plain` is for measuring: the region is found by the network itself, from one that is well off, and five looks are
    taken as `Eyes` takes them. Otherwise two are taken at a region about the true joints, a little off, one of them at
    the mirror image, with a jittered spectrum at times.
    """
    random = np.random.default_rng(seed)
    rows = [_see(engine, drawn, row, random, plain) for row in range(len(drawn.pictures))]
    return {**drawn.truth, **{f"seen_{name}": np.stack([row[name] for row in rows]) for name in rows[0]}}


def _see(
    engine: FeatureEngine, drawn: DrawnHands, row: int, random: np.random.Generator, plain: bool
) -> dict[str, np.ndarray]:
    picture = drawn.picture(row)
    if not plain and random.random() < _SPECTRUM_SHARE:
        picture = jitter_spectrum(picture, random, strength=random.uniform(0, 2), floor=random.uniform(0, 0.2))
    pyramid, region = Pyramid(picture), about_joints(drawn.truth["joints_px"][row : row + 1].astype(np.float64))
    if plain:
        region = _perturbed(region, random, 0.12)
        for _ in range(_PLAIN_ROUNDS):
            region = about_joints(look(engine, pyramid, region, np.array([False])).joints_px)
        moves = LOOKS
        regions = region.repeated(len(moves)).moved(moves[:, :2], NEARER * (1 + moves[:, 2]), moves[:, 3])
        mirrored = moves[:, 4] > 0
    else:
        regions = _perturbed(region.repeated(2), random, 0.05)
        regions = regions.moved(np.zeros((2, 2)), np.full(2, NEARER), np.zeros(2))
        mirrored = np.array([False, True])
    return _kept(look(engine, pyramid, regions, mirrored))


def _kept(seen: Looks) -> dict[str, np.ndarray]:
    """Return what is stored of a hand; the body's map and its crop are those of the first look."""
    return {
        "joints_px": seen.joints_px.astype(np.float32),
        "depth_px": seen.depth_px.mean(axis=0).astype(np.float32),
        "metres": seen.metres.mean(axis=0).astype(np.float32),
        "presence": seen.presence.mean(axis=0).astype(np.float32),
        "right": seen.right.mean(axis=0).astype(np.float32),
        "features": seen.features[0].astype(np.float16),
        "body": seen.body.astype(np.float16),
        "T_crop_photo": seen.T_crop_photo.astype(np.float32),
    }


def _perturbed(region: Regions, random: np.random.Generator, size: float) -> Regions:
    count = len(region)
    shift = random.normal(0, size, (count, 2))
    return region.moved(shift, np.exp(random.normal(0, 1.5 * size, count)), random.normal(0, 3 * size, count))


def look(engine: FeatureEngine, pyramid: Pyramid, regions: Regions, mirrored: np.ndarray) -> Looks:
    """Look at each region, mirrored where asked, and return what is seen in the pixels and axes of the picture.

    `Looks.right` is how surely the hand in the picture, not in the crop, is a right one.
    """
    crops = [
        np.ascontiguousarray(crop[:, ::-1]) if flip else crop
        for crop, flip in zip(pyramid.cut(regions, LANDMARK_PX), mirrored, strict=True)
    ]
    joints, metres, presence, right, features, body = engine(crops)
    joints, metres = joints.astype(np.float64).reshape(-1, 21, 3), metres.astype(np.float64).reshape(-1, 21, 3)
    joints[mirrored, :, 0] = LANDMARK_PX - joints[mirrored, :, 0]
    metres[mirrored, :, 0] *= -1
    T_photo_crop = np.linalg.inv(regions.transforms(LANDMARK_PX))
    linear, scale = T_photo_crop[:, :2, :2], regions.side_px / LANDMARK_PX
    turned = np.einsum("nij,nkj->nki", linear / scale[:, None, None], metres[..., :2])
    return Looks(
        joints_px=np.einsum("nij,nkj->nki", linear, joints[..., :2]) + T_photo_crop[:, None, :2, 2],
        depth_px=joints[..., 2] * scale[:, None],
        metres=np.concatenate((turned, metres[..., 2:]), axis=-1),
        presence=presence[:, 0],
        right=np.where(mirrored, 1 - right[:, 0], right[:, 0]),
        features=features,
        body=body[0],
        T_crop_photo=regions.transforms(LANDMARK_PX)[0],
    )
