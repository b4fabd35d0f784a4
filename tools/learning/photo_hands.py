"""Hands in photos as the eyes see them, mirrored to right hands, with the frozen blocks' maps of their crops."""

from collections.abc import Sequence

import numpy as np
from learning.feature_engine import BodyEngine
from learning.sightings import Crops, jittered, nearer, perturbed

from hifihr_core.eyes.eyes import Eyes
from hifihr_core.eyes.looks import spread_of
from hifihr_core.eyes.networks import LANDMARK_PX
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, about_joints
from hifihr_core.eyes.seen_hand import SeenHand

#: Hands of which the eyes are less certain are not used.
MIN_SCORE, MIN_SIDE = 0.85, 0.9


def hands_in(eyes: Eyes, image: np.ndarray, boxes_px: np.ndarray | None) -> list[SeenHand]:
    """Return the certain hands of a photo: those in `boxes_px`, or all that a search finds."""
    found = eyes.find(image, "fast") if boxes_px is None else eyes.look(image, boxes_px)
    return [one for one in found if one.score >= MIN_SCORE and one.side_confidence >= MIN_SIDE]


def as_right_hand(image: np.ndarray, seen: SeenHand) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the photo, mirrored if the hand is a left one, and the position of its joints in it."""
    height, width = image.shape[:2]
    focal_px = float(max(height, width))  # a typical camera, since the true one is unknown
    kept = {
        "joints_px": seen.joints_px,
        "depth_px": seen.depth_px,
        "metres": seen.metres,
        "sigma_px": seen.sigma_px,
        "spread_px": spread_of(seen),
        "K": np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]]),
    }
    if seen.side == "right":
        return image, kept
    mirror = np.array([-1.0, 1.0])
    points = seen.joints_px * mirror + np.array([width, 0.0])
    metres = seen.metres * np.array([-1.0, 1.0, 1.0])
    return np.ascontiguousarray(image[:, ::-1]), {**kept, "joints_px": points, "metres": metres}


def see_crops(
    engine: BodyEngine, image: np.ndarray, hand: dict[str, np.ndarray], views: int, random: np.random.Generator
) -> list[dict[str, np.ndarray]]:
    """Return the data stored for each of `views` crops of a right hand: the first as `predict` cuts it, the others
    perturbed.
    """
    rows = [_see_crop(engine, image, hand, nearer(about_joints(hand["joints_px"][None])))]
    for _ in range(views - 1):
        size = Crops.far if random.random() < Crops.far_share else Crops.near
        region = perturbed(nearer(about_joints(hand["joints_px"][None])), random, size)
        rows.append(_see_crop(engine, jittered(image, random), hand, region))
    return rows


def _see_crop(
    engine: BodyEngine, image: np.ndarray, hand: dict[str, np.ndarray], region: Regions
) -> dict[str, np.ndarray]:
    """Return the map of a crop, and the trust in each joint."""
    T_crop_photo = region.transforms(LANDMARK_PX)
    body = engine(Pyramid(image).cut(region, LANDMARK_PX))[0]
    size = np.ptp(hand["joints_px"], axis=0).max()
    weight = np.clip(0.05 * size / np.maximum(hand["sigma_px"], 1e-6), 0, 1)
    return {
        **{name: values.astype(np.float32) for name, values in hand.items()},
        "body": body.astype(np.float16),
        "T_crop_photo": T_crop_photo[0].astype(np.float32),
        "weight": weight.astype(np.float32),
    }


def stacked(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return rows as arrays with one row per hand."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
