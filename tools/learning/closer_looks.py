"""Feature maps of the landmark network's first blocks for crops of rendered hands.

These blocks are frozen, so their maps are stored and not recomputed.
"""

import numpy as np
import torch
from learning.drawn_hands import DrawnHands
from learning.feature_engine import BodyEngine
from learning.sightings import SPECTRUM_SHARE, Crops, jittered, nearer, perturbed

from hifihr_core.eyes.networks import LANDMARK_PX
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, about_joints
from hifihr_core.lifting.hand_network import HandNetwork

_AT_ONCE = 32


def look_closer(
    engine: BodyEngine,
    drawn: DrawnHands,
    views: int,
    seed: list[int],
    *,
    spectrum_share: float = SPECTRUM_SHARE,
) -> dict[str, np.ndarray]:
    """Return `body` (N, V, C, h, w) and `T_crop_photo` (N, V, 3, 3) of training crops.

    Crops are around the true joints, some of them far off centre, so that the network also learns to find a hand that
    the eyes nearly lost.
    """
    random = np.random.default_rng(seed)
    crops, transforms = [], []
    for row in range(len(drawn.pictures)):
        true_px = drawn.truth["joints_px"][row : row + 1].astype(np.float64)
        for _ in range(views):
            size = Crops.far if random.random() < Crops.far_share else Crops.near
            region = perturbed(nearer(about_joints(true_px)), random, size)
            crops.append(_cut(jittered(drawn.picture(row), random, spectrum_share), region))
            transforms.append(region.transforms(LANDMARK_PX))
    return _kept(engine, crops, transforms, views)


def look_twice(
    engine: BodyEngine, network: HandNetwork, drawn: DrawnHands, joints_px: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the same for the crop around the joints that a hand network finds in the crop around `joints_px`."""
    first = {
        name: torch.from_numpy(value[:, 0]).float() for name, value in look_where(engine, drawn, joints_px).items()
    }
    with torch.no_grad():
        found_px, _ = network.see(first["body"], first["T_crop_photo"])
    return look_where(engine, drawn, found_px.numpy())


def look_where(engine: BodyEngine, drawn: DrawnHands, joints_px: np.ndarray) -> dict[str, np.ndarray]:
    """Return the same for one crop per hand, around `joints_px` (N, 21, 2), as `predict` cuts it."""
    regions = nearer(about_joints(joints_px.astype(np.float64)))
    crops = [_cut(drawn.picture(row), regions[row : row + 1]) for row in range(len(drawn.pictures))]
    return _kept(engine, crops, [regions.transforms(LANDMARK_PX)], 1)


def _cut(picture: np.ndarray, region: Regions) -> np.ndarray:
    return Pyramid(picture).cut(region, LANDMARK_PX)[0]


def _kept(
    engine: BodyEngine, crops: list[np.ndarray], transforms: list[np.ndarray], views: int
) -> dict[str, np.ndarray]:
    parts = [engine(crops[first : first + _AT_ONCE]) for first in range(0, len(crops), _AT_ONCE)]
    body, T_crop_photo = np.concatenate(parts).astype(np.float16), np.concatenate(transforms).astype(np.float32)
    return {
        name: rows.reshape(-1, views, *rows.shape[1:])
        for name, rows in (("body", body), ("T_crop_photo", T_crop_photo))
    }
