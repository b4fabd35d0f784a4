"""Residuals between a moving hand and the hands lifted from its individual frames.

A lift uses more of a picture than its 2D joints, such as features that show which fingers are nearer. These residuals
therefore keep the moving hand close to the lifts in what 2D joints determine poorly: rotation, depth and pose.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hifihr_core.video.fitting.hand_sequence import HandSequence

#: Standard deviations of the rotation (radians), the log distance, and the pose (in its own unit).
LIFT_TURN, LIFT_LOG_DEPTH, LIFT_POSE = 0.5, 0.17, 0.5
_NEAR_M = 0.01


class LiftedResiduals:
    """The residuals from one sequence of lifted hands; they are 0 in frames where `counts` is 0."""

    def __init__(self, lifted: HandSequence, counts: Float[np.ndarray, " T"]) -> None:
        self._lifted, self._counts = lifted, counts

    def residuals(self, hand: HandSequence) -> Float[np.ndarray, "T R"]:
        """Return the residuals of every frame (rotation 3, log depth 1, pose P), in standard deviations."""
        lifted = self._lifted
        turn = (Rotation.from_rotvec(hand.turn) * Rotation.from_rotvec(lifted.turn).inv()).as_rotvec()
        depth = np.log(np.maximum(hand.root_cam[:, 2:], _NEAR_M) / np.maximum(lifted.root_cam[:, 2:], _NEAR_M))
        parts = (turn / LIFT_TURN, depth / LIFT_LOG_DEPTH, (hand.pose - lifted.pose) / LIFT_POSE)
        return np.concatenate(parts, axis=1) * self._counts[:, None]

    def jacobian(self, hand: HandSequence) -> Float[np.ndarray, "T R D"]:
        """Return the derivatives of the residuals with respect to (turn, root, pose), to first order in rotations."""
        pose_dim = hand.pose.shape[1]
        found = np.zeros((len(hand), 4 + pose_dim, 6 + pose_dim))
        found[:, :3, :3] = np.eye(3) / LIFT_TURN
        found[:, 3, 5] = 1 / (LIFT_LOG_DEPTH * np.maximum(hand.root_cam[:, 2], _NEAR_M))
        found[:, 4:, 6:] = np.eye(pose_dim) / LIFT_POSE
        return found * self._counts[:, None, None]
