"""The motion of the palm in the picture (position, rotation and size), extrapolated while it is not seen."""

import numpy as np
from jaxtyping import Float

#: The wrist and the finger bases: the part of a hand that the fingers do not move.
PALM = (0, 5, 9, 13, 17)
#: Limits of the extrapolation: of position in hand sizes, of rotation in radians, and of size in factors of e.
_FARTHEST = np.array([1.5, 1.5, 0.6, 0.25])
#: Maximum rotation and growth per second: both are unreliable for a palm seen edge-on.
_FASTEST_TURN, _FASTEST_GROWTH = 6.0, 2.0

PalmVelocity = Float[np.ndarray, "4"]


def palm_px(joints_px: Float[np.ndarray, "21 2"]) -> Float[np.ndarray, "2"]:
    """Return the centre of the palm: the mean of the wrist and the finger bases."""
    return joints_px[list(PALM)].mean(axis=0)


def hand_size_px(joints_px: Float[np.ndarray, "21 2"]) -> float:
    """Return the longer side of the bounding box of the joints."""
    return float(np.ptp(joints_px, axis=0).max())


def palm_velocity(
    before_px: Float[np.ndarray, "21 2"], after_px: Float[np.ndarray, "21 2"], elapsed_s: float
) -> PalmVelocity:
    """Return the velocity (x, y, rotation, growth) of a palm from two sightings that are `elapsed_s` apart.

    Pixels, radians and the logarithm of the size, per second.
    """
    elapsed_s = max(elapsed_s, 1e-3)
    shift = (palm_px(after_px) - palm_px(before_px)) / elapsed_s
    one, other = (points - points.mean(axis=0) for points in (before_px[list(PALM)], after_px[list(PALM)]))
    # The best similarity between two palms is a complex factor (least squares in the plane).
    first, second = (points[:, 0] + 1j * points[:, 1] for points in (one, other))
    factor = (first.conj() @ second) / max(float((first.conj() @ first).real), 1e-9)
    turn = float(np.angle(factor)) / elapsed_s
    growth = float(np.log(max(abs(factor), 1e-3))) / elapsed_s
    return np.array(
        [
            *shift,
            np.clip(turn, -_FASTEST_TURN, _FASTEST_TURN),
            np.clip(growth, -_FASTEST_GROWTH, _FASTEST_GROWTH),
        ]
    )


def moved_on(
    joints_px: Float[np.ndarray, "21 2"], velocity: PalmVelocity, elapsed_s: float
) -> Float[np.ndarray, "21 2"]:
    """Return the joints after `elapsed_s`: rotated, scaled and moved with the palm, ever more slowly."""
    lasting_s = elapsed_s / (1 + 2 * elapsed_s)
    size = max(hand_size_px(joints_px), 1e-6)
    change = velocity * lasting_s / np.array([size, size, 1.0, 1.0])
    change[:2] *= min(1.0, _FARTHEST[0] / max(float(np.linalg.norm(change[:2])), 1e-9))
    change[2:] = np.clip(change[2:], -_FARTHEST[2:], _FARTHEST[2:])
    middle, cos, sin = palm_px(joints_px), np.cos(change[2]), np.sin(change[2])
    turned = (joints_px - middle) @ np.array([[cos, sin], [-sin, cos]]) * np.exp(change[3])
    return turned + middle + change[:2] * size
