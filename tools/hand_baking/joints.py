"""Joints that follow the shape, and joints computed from the posed skin."""

import numpy as np
from hand_baking import poses, shapes

from hifihr_core.hands.anny.rig import CHAIN

_RING = 24
_FITTED_POSES = 240


def follow_shape(found: shapes.Shapes, joints: np.ndarray) -> np.ndarray:
    """Return (10, 18, 3): the motion of each joint with the shape, as a fixed average of the skin around it."""
    moved = []
    for joint in joints:
        ring, share = shapes.ring_regressor(found.vertices[None], joint[None], ring=_RING)
        moved.append(np.einsum("r,krx->kx", share, found.basis[:, ring]))
    basis = np.stack(moved, axis=1)
    basis[:, 0] = 0.0  # the wrist is the origin of every shape
    return basis


def posed_regressor(hand: "poses.BakedHand", bank: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (18, ring) vertices and weights whose sums on the posed skin are the chain's joints.

    The counterpart of MANO's regressor on posed vertices: fitted over gestures and shapes.
    """
    rng = np.random.default_rng(seed)
    angles = bank[rng.integers(len(bank), size=_FITTED_POSES), 0]
    shape = rng.normal(size=(_FITTED_POSES, len(hand.shape_basis)))
    vertices, joints = hand.pose(angles, shape)
    pairs = [shapes.ring_regressor(vertices, joints[:, j], ring=_RING) for j in range(joints.shape[1])]
    error = [
        np.linalg.norm(np.einsum("r,srx->sx", share, vertices[:, ring]) - joints[:, j], axis=1).mean()
        for j, (ring, share) in enumerate(pairs)
    ]
    used = [j for j in CHAIN if j >= 0]
    print("skin joints against the chain, mean mm:", np.round(1e3 * np.array(error)[used], 2))
    return np.stack([ring for ring, _ in pairs]), np.stack([share for _, share in pairs])
