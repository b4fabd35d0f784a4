"""The deviation of a hand from its sightings, per frame: residuals, Jacobians, robust weights of joints."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from hifihr_core.hands import PosePrior
from hifihr_core.video.fitting.hand_sequence import HandSequence, SeenSequence
from hifihr_core.video.fitting.joint_motion import MotionOfJoints
from hifihr_core.video.fitting.lifted_residuals import LiftedResiduals

#: Smallest depth at which a joint is projected, metres.
_NEAR_M = 0.05


@dataclass(frozen=True)
class FrameWeights:
    """Standard deviations of the terms within one frame.

    A joint has the standard deviation of its sighting, increased by `own_share`, the difference between our joint
    definition and the eyes', in hand sizes; a joint more than `outlier` standard deviations away loses influence
    (Cauchy). `pose_prior` is for the whitened pose, `pose_off_prior` for the part of the pose that the prior does not
    span, `limit_rad` for angles beyond their limits, and `shape_prior` for the shape coefficients.
    """

    own_share: float = 0.015
    outlier: float = 2.5
    pose_prior: float = 1.5
    pose_off_prior: float = 0.2
    limit_rad: float = 0.05
    shape_prior: float = 1.0


FRAME_WEIGHTS = FrameWeights()


@dataclass(frozen=True)
class FrameTerms:
    """R residuals per frame, in standard deviations, and their derivatives.

    `jacobian` is with respect to turn, root and pose, D = 6 + P variables; `by_shape` with respect to the shape, None
    if it is fixed.
    """

    residuals: Float[np.ndarray, "T R"]
    jacobian: Float[np.ndarray, "T R D"]
    by_shape: Float[np.ndarray, "T R S"] | None = None

    def cost(self) -> Float[np.ndarray, " T"]:
        """Return half the sum of the squared residuals of every frame."""
        return 0.5 * (self.residuals**2).sum(axis=1)


class SeenResiduals:
    """The residuals of one hand model against one sequence of sightings."""

    def __init__(self, motion: MotionOfJoints, seen: SeenSequence, weights: FrameWeights = FRAME_WEIGHTS) -> None:
        self._motion, self._seen, self._weights = motion, seen, weights
        size_px = np.ptp(seen.joints_px, axis=1).max(axis=1)
        sigma = np.sqrt(seen.sigma_px**2 + (weights.own_share * size_px[:, None]) ** 2)
        self._trust = np.where(seen.weight > 0, np.sqrt(seen.weight) / np.maximum(sigma, 1e-6), 0.0)
        self._prior = _PriorTerms(motion.hand.pose_prior(), weights)
        self._lifted = None if seen.lifted is None else LiftedResiduals(seen.lifted, seen.seen().astype(float))

    def cost(self, hand: HandSequence) -> Float[np.ndarray, " T"]:
        """Return the robust cost of every frame."""
        with torch.no_grad():
            placed = hand.placed()
            joints = self._motion.joints(placed.parameters).double().numpy()
        offset = (self._project(joints + hand.root_cam[:, None])[0] - self._seen.joints_px) * self._trust[..., None]
        outlier = self._weights.outlier
        distance = np.log1p((offset**2).sum(axis=-1) / outlier**2)
        held = 0.0 if self._lifted is None else (self._lifted.residuals(hand) ** 2).sum(axis=1)
        prior = (self._prior.residuals(hand.pose) ** 2).sum(axis=1)
        return 0.5 * (outlier**2 * distance.sum(axis=1) + prior + held)

    def terms(self, hand: HandSequence, *, shape: bool = False) -> FrameTerms:
        """Return residuals and derivatives; those with respect to the shape are included if `shape`.

        Joints far from their sightings get the smaller weights of a Cauchy cost (iteratively reweighted least squares).
        """
        with torch.no_grad():
            placed = hand.placed()
            moved = self._motion(placed.parameters)
        joints, by_pose, by_turn = (value.double().numpy() for value in vars(moved).values())
        pixels, by_place = self._project(joints + hand.root_cam[:, None])
        offset = (pixels - self._seen.joints_px) * self._trust[..., None]
        robust = (1 + (offset**2).sum(axis=-1) / self._weights.outlier**2) ** -0.5
        scale = (robust * self._trust)[..., None, None]
        by_place = by_place * scale
        parts = (by_place @ by_turn, by_place, by_place @ by_pose)
        jacobian = np.concatenate(parts, axis=-1).reshape(len(hand), 42, -1)
        residuals = (offset * robust[..., None]).reshape(len(hand), 42)
        by_shape = (by_place @ self._shape_motion(hand)).reshape(len(hand), 42, -1) if shape else None
        terms = FrameTerms(residuals, jacobian, by_shape)
        by_pose = self._prior.jacobian(hand.pose)
        below = np.concatenate((np.zeros((*by_pose.shape[:2], 6)), by_pose), axis=2)
        terms = _with(terms, self._prior.residuals(hand.pose), below)
        lifted = self._lifted
        return terms if lifted is None else _with(terms, lifted.residuals(hand), lifted.jacobian(hand))

    def _project(self, joints_cam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels, and their derivatives with respect to joint positions, (T, 21, 2, 3)."""
        K = self._seen.K
        z = np.maximum(joints_cam[..., 2:], _NEAR_M)
        ray = np.concatenate((joints_cam[..., :2] / z, np.ones_like(z)), axis=-1)
        by_ray = np.zeros((*joints_cam.shape[:-1], 3, 3))
        by_ray[..., 0, 0] = by_ray[..., 1, 1] = 1 / z[..., 0]
        by_ray[..., :2, 2] = -ray[..., :2] / z
        return (ray @ K.T)[..., :2], K[:2] @ by_ray

    def _shape_motion(self, hand: HandSequence) -> np.ndarray:
        """Return the derivatives of the joints with respect to the shape coefficients, (T, 21, 3, S)."""
        step, size, placed = 0.1, len(hand.shape), hand.placed().parameters
        moves = torch.cat((torch.zeros(1, size), torch.eye(size) * step))
        many = type(placed)(
            placed.global_orient.repeat_interleave(1 + size, dim=0),
            placed.pose.repeat_interleave(1 + size, dim=0),
            (placed.shape[:, None] + moves).reshape(-1, size),
        )
        with torch.no_grad():
            joints = self._motion.joints(many).double().numpy().reshape(len(hand), 1 + size, 21, 3)
        return ((joints[:, 1:] - joints[:, :1]) / step).transpose(0, 2, 3, 1)


def _with(terms: FrameTerms, residuals: np.ndarray, jacobian: np.ndarray) -> FrameTerms:
    """Return the terms with further residuals, which do not depend on the shape, appended."""
    by_shape = terms.by_shape
    if by_shape is not None:
        by_shape = np.concatenate((by_shape, np.zeros((*residuals.shape, by_shape.shape[2]))), axis=1)
    return FrameTerms(
        np.concatenate((terms.residuals, residuals), axis=1),
        np.concatenate((terms.jacobian, jacobian), axis=1),
        by_shape,
    )


class _PriorTerms:
    """Residuals that keep a pose plausible: linear in the pose, except for those of the joint limits."""

    def __init__(self, prior: PosePrior, weights: FrameWeights) -> None:
        whiten, basis = prior.whiten.double().numpy(), prior.basis.double().numpy()
        self._mean, self._limits = prior.mean.double().numpy(), prior.limits.double().numpy()
        off = np.eye(len(self._mean)) - whiten @ basis
        self._linear = np.concatenate((whiten / weights.pose_prior, off / weights.pose_off_prior), axis=1)
        self._limit_rad = weights.limit_rad

    def residuals(self, pose: np.ndarray) -> np.ndarray:
        beyond = pose - np.clip(pose, self._limits[:, 0], self._limits[:, 1])
        return np.concatenate(((pose - self._mean) @ self._linear, beyond / self._limit_rad), axis=1)

    def jacobian(self, pose: np.ndarray) -> np.ndarray:
        outside = (pose < self._limits[:, 0]) | (pose > self._limits[:, 1])
        limits = np.eye(pose.shape[1]) * outside[:, None, :] / self._limit_rad
        linear = np.broadcast_to(self._linear.T, (len(pose), *self._linear.T.shape))
        return np.concatenate((linear, limits), axis=1)
