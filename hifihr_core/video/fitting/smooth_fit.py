"""The smooth fit: the motion of one track's hand that explains its sightings with plausible accelerations.

Damped Gauss-Newton on the rotation, position and pose of all frames at once, with one shape. The terms within a frame
are those of a single photo; between frames, the cost of an acceleration is quadratic up to a few standard deviations
and linear beyond, so that a sudden stop is allowed. The normal equations are banded, and a long track is fitted in
overlapping windows, each tied to the last two frames of the previous one, so memory stays bounded.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hifihr_core.video.fitting.banded import TimeSystem, accelerations, add_accelerations, spread_accelerations
from hifihr_core.video.fitting.hand_sequence import HandSequence, SeenSequence
from hifihr_core.video.fitting.joint_motion import MotionOfJoints
from hifihr_core.video.fitting.seen_residuals import FRAME_WEIGHTS, FrameWeights, SeenResiduals

#: Accelerations are weighted so that a second counts the same at any frame rate; at this rate the weight is 1.
_USUAL_STEP_S = 1 / 30


@dataclass(frozen=True)
class MotionWeights:
    """Standard deviations of accelerations.

    `turn` is in rad/s^2, `root` in m/s^2, `pose` in rad/s^2 (or the unit of the coefficients, per s^2). `bounded` is
    the number of standard deviations up to which the cost is quadratic.
    """

    turn: float = 40.0
    root: float = 4.0
    pose: float = 40.0
    bounded: float = 3.0


@dataclass(frozen=True)
class SmoothSettings:
    """Weights of the terms, the maximum number of Gauss-Newton `steps`, and the windows of a long track.

    Windows are `window` frames long, and neighbouring ones overlap by `shared` frames.
    """

    frame: FrameWeights = FRAME_WEIGHTS
    motion: MotionWeights = MotionWeights()
    steps: int = 8
    window: int = 240
    shared: int = 40


def smooth_fit(
    motion: MotionOfJoints, seen: SeenSequence, start: HandSequence, settings: SmoothSettings = SmoothSettings()
) -> HandSequence:
    """Return the smooth motion of a hand, starting from `start`; its shape is fixed.

    Frames without sightings are determined by their neighbours.
    """
    done = start.part(slice(0, 0))
    while len(done) < len(start):
        first = len(done)
        held = min(first, 2)
        part = slice(first - held, min(first + settings.window, len(start)))
        begin = done.part(slice(first - held, first)).followed_by(start.part(slice(first, part.stop)))
        fitted = fit_window(motion, seen.part(part), begin, held=held, settings=settings)
        settled = part.stop - first if part.stop == len(start) else settings.window - settings.shared
        done = done.followed_by(fitted.part(slice(held, held + settled)))
    return done


def fit_window(
    motion: MotionOfJoints,
    seen: SeenSequence,
    start: HandSequence,
    *,
    held: int = 0,
    settings: SmoothSettings = SmoothSettings(),
) -> HandSequence:
    """Return the smooth motion in one window; the first `held` frames are those of `start`, unchanged."""
    own = SeenResiduals(motion, seen, settings.frame)
    smooth = Smoothness(seen.times_s, settings.motion, start.pose.shape[1])
    hand, damping = start, 1e-3
    cost = _cost(own, smooth, hand)
    for _ in range(settings.steps):
        system, gradient = normal_equations(own, smooth, hand)
        system, gradient = _hold(system, gradient, held)
        accepted = False
        for _ in range(4):
            trial = moved(hand, system.solve(-gradient, damping))
            trial_cost = _cost(own, smooth, trial)
            accepted = trial_cost < cost
            damping = float(np.clip(damping / 5 if accepted else damping * 10, 1e-6, 1e6))
            if accepted:
                break
        if not accepted:
            break
        gain, hand, cost = cost - trial_cost, trial, trial_cost
        if gain < 1e-4 * cost:
            break
    return hand


def normal_equations(
    own: SeenResiduals, smooth: "Smoothness", hand: HandSequence
) -> tuple[TimeSystem, Float[np.ndarray, "T D"]]:
    """Return the banded Gauss-Newton matrix and the gradient of the cost at `hand`."""
    terms = own.terms(hand)
    transposed = terms.jacobian.transpose(0, 2, 1)
    gradient = (transposed @ terms.residuals[..., None])[..., 0]
    alone = TimeSystem(transposed @ terms.jacobian, np.zeros_like(gradient), np.zeros_like(gradient))
    strength = smooth.strength(hand)
    pull = strength**2 * smooth.values(hand)
    return add_accelerations(alone, smooth.weights, strength), gradient + spread_accelerations(smooth.weights, pull)


def moved(hand: HandSequence, step: Float[np.ndarray, "T D"]) -> HandSequence:
    """Return the hand after a step: per frame, a rotation about the camera's axes, then changes of root and pose."""
    turn = (Rotation.from_rotvec(step[:, :3]) * Rotation.from_rotvec(hand.turn)).as_rotvec()
    return HandSequence(hand.shape, turn, hand.root_cam + step[:, 3:6], hand.pose + step[:, 6:])


class Smoothness:
    """The robust cost of the accelerations of a hand's rotation, root and pose."""

    def __init__(self, times_s: np.ndarray, weights: MotionWeights, pose_dim: int) -> None:
        self.weights = accelerations(times_s)
        sigma = np.concatenate((np.full(3, weights.turn), np.full(3, weights.root), np.full(pose_dim, weights.pose)))
        lasting = np.ones(len(times_s))
        if len(times_s) > 2:
            lasting[2:] = (times_s[2:] - times_s[:-2]) / 2 / _USUAL_STEP_S
        self._scale = np.sqrt(lasting)[:, None] / sigma
        self._bounded = weights.bounded

    def values(self, hand: HandSequence) -> Float[np.ndarray, "T D"]:
        """Return, in row t, the accelerations of all variables at frame t - 1; rows 0 and 1 are zero."""
        found = np.zeros((len(hand), 6 + hand.pose.shape[1]))
        if len(hand) < 3:
            return found
        turns = Rotation.from_rotvec(hand.turn)
        between = (turns[1:] * turns[:-1].inv()).as_rotvec()
        found[2:, :3] = self.weights[2:, 2:] * between[1:] - self.weights[2:, :1] * between[:-1]
        linear = np.concatenate((hand.root_cam, hand.pose), axis=1)
        found[2:, 3:] = sum(self.weights[2:, k, None] * linear[k : len(linear) - 2 + k] for k in range(3))
        return found

    def strength(self, hand: HandSequence) -> Float[np.ndarray, "T D"]:
        """Return the factors that turn accelerations into residuals: inverse standard deviations.

        They are smaller beyond the quadratic range (iteratively reweighted least squares).
        """
        scaled = self.values(hand) * self._scale
        return self._scale * (1 + (scaled / self._bounded) ** 2) ** -0.25

    def cost(self, hand: HandSequence) -> float:
        """Return the pseudo-Huber cost of all accelerations."""
        scaled = self.values(hand) * self._scale
        return float((self._bounded**2 * (np.sqrt(1 + (scaled / self._bounded) ** 2) - 1)).sum())


def _cost(own: SeenResiduals, smooth: Smoothness, hand: HandSequence) -> float:
    return float(own.cost(hand).sum()) + smooth.cost(hand)


def _hold(
    system: TimeSystem, gradient: Float[np.ndarray, "T D"], held: int
) -> tuple[TimeSystem, Float[np.ndarray, "T D"]]:
    """Return the system and its gradient, changed so that the first `held` frames do not move."""
    if not held:
        return system, gradient
    blocks, one, two, pull = (v.copy() for v in (system.blocks, system.next_one, system.next_two, gradient))
    blocks[:held], pull[:held] = np.eye(gradient.shape[1]), 0.0
    one[:held], two[:held] = 0.0, 0.0
    return TimeSystem(blocks, one, two), pull
