"""Several perturbed looks at a hand: their mean is nearer to the truth than any of them, their spread says how near."""

import numpy as np
from jaxtyping import Float

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.eyes.sightings import Sightings, look_at

#: Each look: moved right and down (in sides of the region), enlarged by, turned by (radians), mirrored.
LOOKS = np.array(
    [
        (0.0, 0.0, 0.0, 0.0, 0),
        (0.04, 0.02, 0.1, 0.25, 1),
        (-0.04, 0.02, -0.1, -0.25, 0),
        (0.02, -0.04, -0.1, 0.25, 1),
        (-0.02, -0.04, 0.1, -0.25, 0),
    ]
)
#: The looks are taken a little nearer than the region that the network was trained on.
_NEARER = 0.9

#: Standard deviation of each joint along an axis, in sizes of the hand, where all looks agree; and how it grows with
#: their spread: ``sigma^2 = (floor * size)^2 + (growth * spread)^2``. Fitted by benchmarks/eyes_calibration.py.
SIGMA_FLOOR = np.full(21, 0.02)
SIGMA_GROWTH = 1.5
#: Joints within this share of the hand's size count as right in `SeenHand.confidence`.
_NEAR = 0.05
#: Looks that disagree by this share of the hand's size halve its score.
_DOUBTFUL_SPREAD = 0.15


def look_closely(
    engine: Engine, pyramid: Pyramid, seen: Sightings, looks: Float[np.ndarray, "K 5"] = LOOKS
) -> list[SeenHand]:
    """Return every sighted hand as the mean of several looks at it."""
    count = len(looks)
    moves = np.tile(looks, (len(seen), 1))
    regions = seen.regions().repeated(count).moved(moves[:, :2], _NEARER * (1 + moves[:, 2]), moves[:, 3])
    all_looks = look_at(engine, pyramid, regions, mirrored=moves[:, 4] > 0)
    return [summary(all_looks[np.arange(start, start + count)]) for start in range(0, len(all_looks), count)]


def summary(looks: Sightings) -> SeenHand:
    """Return one hand from several looks at it."""
    joints = looks.joints_px.mean(axis=0)
    size = max(float(np.ptp(joints, axis=0).max()), 1e-6)
    spread = np.sqrt(((looks.joints_px - joints) ** 2).sum(axis=-1).mean(axis=0) / 2)
    sigma = np.sqrt((SIGMA_FLOOR * size) ** 2 + (SIGMA_GROWTH * spread) ** 2)
    right = float(looks.right.mean())
    agreement = 1 / (1 + (float(np.median(spread)) / size / _DOUBTFUL_SPREAD) ** 2)
    return SeenHand(
        joints_px=joints,
        depth_px=looks.depth_px.mean(axis=0),
        metres=looks.metres.mean(axis=0),
        sigma_px=sigma,
        confidence=1 - np.exp(-((_NEAR * size) ** 2) / (2 * sigma**2)),
        score=float(looks.presence.mean()) * agreement,
        side="right" if right > 0.5 else "left",
        side_confidence=max(right, 1 - right),
    )


def spread_of(looks: Sightings) -> Float[np.ndarray, "21"]:
    """Return how far the looks are from their mean, per joint and axis (standard deviation, pixels)."""
    joints = looks.joints_px.mean(axis=0)
    return np.sqrt(((looks.joints_px - joints) ** 2).sum(axis=-1).mean(axis=0) / 2)
