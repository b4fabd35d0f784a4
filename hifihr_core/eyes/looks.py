"""Run the landmark network several times on each hand, every time on a slightly different region (a "look").

The mean of the looks is more accurate than a single one, and their spread indicates how large its error is.
"""

import numpy as np
from jaxtyping import Float

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.eyes.sightings import Sightings, look_at

#: Each look: shift right and down (in sides of the region), scale, rotation (radians), mirrored.
LOOKS = np.array(
    [
        (0.0, 0.0, 0.0, 0.0, 0),
        (0.04, 0.02, 0.1, 0.25, 1),
        (-0.04, 0.02, -0.1, -0.25, 0),
        (0.02, -0.04, -0.1, 0.25, 1),
        (-0.02, -0.04, 0.1, -0.25, 0),
    ]
)
#: The regions of looks are smaller by this factor than those that the network was trained on.
NEARER = 0.9

#: The error of a joint, in hand sizes: Student's t in the plane with scale ``SCALE * (spread + LEAST) ** GROWTH * (1 -
#: presence) ** DOUBT`` and `DEGREES` of freedom, which allows for the occasional joint that is far off although all
#: looks agree. Fitted to rendered hands by benchmarks/eyes_calibration.py.
SCALE, LEAST, GROWTH, DOUBT, DEGREES = 0.784, 0.002, 0.734, 0.0325, 2.83
#: Joints within this fraction of the hand's size count as correct in `SeenHand.confidence`.
NEAR = 0.05
#: Logistic regression of hand or no hand on the logit of the mean presence, fitted to 566 hands and 45 false palm
#: candidates in photos.
_PRESENCE_SLOPE, _PRESENCE_OFFSET = 4.0, 6.7


def look_closely(
    engine: Engine, pyramid: Pyramid, seen: Sightings, looks: Float[np.ndarray, "K 5"] = LOOKS
) -> list[SeenHand]:
    """Return the hand of each sighting as the mean of several looks at it; `looks` has the columns of `LOOKS`."""
    count = len(looks)
    moves = np.tile(looks, (len(seen), 1))
    regions = seen.regions().repeated(count).moved(moves[:, :2], NEARER * (1 + moves[:, 2]), moves[:, 3])
    all_looks = look_at(engine, pyramid, regions, mirrored=moves[:, 4] > 0)
    return [summary(all_looks[np.arange(start, start + count)]) for start in range(0, len(all_looks), count)]


def summary(looks: Sightings) -> SeenHand:
    """Return a hand as the mean of several looks at it, with its probability and the errors of its joints."""
    joints = looks.joints_px.mean(axis=0)
    size = max(float(np.ptp(joints, axis=0).max()), 1e-6)
    spread, presence, right = spread_px(looks) / size, float(looks.presence.mean()), float(looks.right.mean())
    sigma = sigma_of(spread, presence)
    return SeenHand(
        joints_px=joints,
        depth_px=looks.depth_px.mean(axis=0),
        metres=looks.metres.mean(axis=0),
        sigma_px=sigma * size,
        confidence=probability_within(NEAR, sigma),
        score=probability_of_hand(presence),
        side="right" if right > 0.5 else "left",
        side_confidence=max(right, 1 - right),
    )


def probability_of_hand(presence: float) -> float:
    """Return the probability that there is a hand, given the mean of `Sightings.presence` over several looks."""
    logit = np.log(max(presence, 1e-6) / (1.0005 - presence))
    return float(1 / (1 + np.exp(_PRESENCE_OFFSET - _PRESENCE_SLOPE * logit)))


def presence_of(score: float) -> float:
    """Return the mean presence for which `probability_of_hand` returns `score`."""
    score = min(max(score, 1e-12), 1 - 1e-12)
    odds = np.exp((np.log(score / (1 - score)) + _PRESENCE_OFFSET) / _PRESENCE_SLOPE)
    return float(1.0005 * odds / (1 + odds))


def spread_px(looks: Sightings) -> Float[np.ndarray, "21"]:
    """Return the standard deviation of each joint over several looks, along each axis, pixels."""
    apart = looks.joints_px - looks.joints_px.mean(axis=0)
    return np.sqrt((apart**2).sum(axis=(0, 2)) / (2 * max(len(looks) - 1, 1)))


def sigma_of(spread: Float[np.ndarray, "*N 21"], presence: float | Float[np.ndarray, "*N 1"]) -> np.ndarray:
    """Return the scale of each joint's error along each axis, in hand sizes, given the spread of its looks.

    The error has a Student's t distribution with `DEGREES` degrees of freedom. `spread` is in hand sizes too.
    """
    return SCALE * (spread + LEAST) ** GROWTH * (1.001 - presence) ** DOUBT


def probability_within(radius: float, sigma: Float[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
    """Return the probability that a joint's error is below `radius`, in the unit of `sigma`.

    This is the integral of a bivariate Student's t distribution with scale `sigma` over a disc of this radius.
    """
    return 1 - (1 + radius**2 / (DEGREES * sigma**2)) ** (-DEGREES / 2)


def spread_of(hand: SeenHand) -> Float[np.ndarray, "21"]:
    """Return the standard deviation of a hand's joints over the looks, along each axis, pixels, computed back from
    `sigma_px` (the inverse of `sigma_of`).
    """
    size = max(hand.size_px, 1e-6)
    scale = SCALE * (1.001 - presence_of(hand.score)) ** DOUBT
    return size * np.maximum((hand.sigma_px / size / scale) ** (1 / GROWTH) - LEAST, 0.0)
