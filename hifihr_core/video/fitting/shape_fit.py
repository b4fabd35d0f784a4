"""Fit one shape to a whole track: the poses of some frames and their shared shape are fitted together."""

import numpy as np
from jaxtyping import Float, Int

from hifihr_core.video.fitting.hand_sequence import HandSequence, SeenSequence
from hifihr_core.video.fitting.joint_motion import MotionOfJoints
from hifihr_core.video.fitting.seen_residuals import FRAME_WEIGHTS, FrameTerms, FrameWeights, SeenResiduals
from hifihr_core.video.fitting.smooth_fit import moved

#: Number of frames used, and the number of neighbours, with their correlated errors, that count as one observation.
_MOST_FRAMES, _ONE_WITNESS = 40, 5
_STEPS = 6


def fit_shape(
    motion: MotionOfJoints, seen: SeenSequence, start: HandSequence, weights: FrameWeights = FRAME_WEIGHTS
) -> Float[np.ndarray, " S"]:
    """Return the shape that best explains the clearest frames of a track, chosen over its whole length.

    Damped Gauss-Newton; the poses are eliminated frame by frame (Schur complement), so the remaining system has one
    unknown per shape coefficient. Outlying joints lose influence, so that one bad frame hardly changes the shape.
    """
    frames = key_frames(seen)
    own, hand = SeenResiduals(motion, seen.part(frames), weights), start.part(frames)
    held = _ONE_WITNESS / weights.shape_prior**2
    damping, cost = 1e-3, _cost(own, hand, held)
    for _ in range(_STEPS):
        poses, shape = shared_step(own.terms(hand, shape=True), hand.shape, held, damping)
        turned = moved(hand, poses)
        trial = HandSequence(hand.shape + shape, turned.turn, turned.root_cam, turned.pose)
        trial_cost = _cost(own, trial, held)
        if trial_cost < cost:
            hand, cost, damping = trial, trial_cost, max(damping / 5, 1e-6)
        else:
            damping = min(damping * 10, 1e6)
    return hand.shape


def key_frames(seen: SeenSequence, most: int = _MOST_FRAMES) -> Int[np.ndarray, " M"]:
    """Divide the seen frames into at most `most` equal parts; return the clearest frame of each, in order."""
    frames = np.flatnonzero(seen.seen())
    clearness = (seen.weight / np.maximum(seen.sigma_px, 1e-6)).mean(axis=1)
    parts = np.array_split(frames, min(most, len(frames)))
    return np.array([part[np.argmax(clearness[part])] for part in parts], dtype=int)


def shared_step(
    terms: FrameTerms, shape: Float[np.ndarray, " S"], held: float, damping: float
) -> tuple[Float[np.ndarray, "M D"], Float[np.ndarray, " S"]]:
    """Return the Gauss-Newton steps of the variables of all frames and of the shape.

    The prior of the shape is the cost ``held * |shape|^2 / 2``.
    """
    assert terms.by_shape is not None  # requested by the caller
    J, G, r = terms.jacobian, terms.by_shape, terms.residuals[..., None]
    Jt, Gt = J.transpose(0, 2, 1), G.transpose(0, 2, 1)
    own, both = _damped(Jt @ J, damping), Jt @ G
    eliminated = np.linalg.solve(own, np.concatenate((both, Jt @ r), axis=2))
    mine = _damped((Gt @ G).sum(axis=0) + held * np.eye(len(shape)), damping)
    schur = mine - (both.transpose(0, 2, 1) @ eliminated[..., :-1]).sum(axis=0)
    right = (
        (Gt @ r).sum(axis=0)[:, 0] + held * shape - (both.transpose(0, 2, 1) @ eliminated[..., -1:]).sum(axis=0)[:, 0]
    )
    step = np.linalg.solve(schur, -right)
    return -(eliminated[..., :-1] @ step) - eliminated[..., -1], step


def _damped(matrix: np.ndarray, damping: float) -> np.ndarray:
    return matrix + damping * np.eye(matrix.shape[-1]) * np.diagonal(matrix, axis1=-2, axis2=-1)[..., None]


def _cost(own: SeenResiduals, hand: HandSequence, held: float) -> float:
    return float(own.cost(hand).sum()) + held / 2 * float((hand.shape**2).sum())
