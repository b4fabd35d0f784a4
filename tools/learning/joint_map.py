"""Robust regression from the joints of one definition to those of another."""

import numpy as np
from jaxtyping import Bool, Float

from hifihr_core.skeleton import FINGERS, NUM_JOINTS, WRIST

#: The knuckles on which a finger's joints may depend, and those on which the thumb's may.
_KNUCKLES, _OF_THUMB = (5, 9, 13, 17), (5, 9, 17)
#: An error of this fraction of the hand's size halves a joint's weight: some joints are misread rather than defined
#: differently.
_MISREAD = 0.02
_ROUNDS = 15
_RIDGE = 30.0


def learn_joint_map(
    from_px: Float[np.ndarray, "N 21 2"], to_px: Float[np.ndarray, "N 21 2"], visible: Bool[np.ndarray, "N 21"]
) -> Float[np.ndarray, "21 21"]:
    """Return weights with ``to = weights @ from``, whose rows sum to 1.

    A joint depends on those of its finger, the wrist and the knuckles, so that the map rotates and scales with the
    hand. A Cauchy cost with a small ridge towards the identity, minimised by reweighted least squares.
    """
    weights = np.eye(NUM_JOINTS)
    size = np.ptp(from_px, axis=1).max(axis=1)[:, None, None]
    for joint in range(NUM_JOINTS):
        others = support(joint)
        seen = np.repeat(visible[:, joint], 2)
        parts = ((from_px[:, others] - from_px[:, [joint]]) / size).transpose(0, 2, 1).reshape(-1, len(others))[seen]
        moved = ((to_px[:, joint] - from_px[:, joint]) / size[:, 0]).reshape(-1)[seen]
        weights[joint, others] = _robust(parts, moved)
        weights[joint, joint] = 1 - weights[joint, others].sum()
    return weights


def support(joint: int) -> list[int]:
    """Return the joints on which one may depend."""
    finger = (joint - 1) // (NUM_JOINTS // len(FINGERS))
    chain = [] if joint == WRIST else [4 * finger + 1 + i for i in range(4)]
    base = (1, *_KNUCKLES) if joint == WRIST else (WRIST, *(_OF_THUMB if finger == 0 else _KNUCKLES))
    return [other for other in dict.fromkeys((*base, *chain)) if other != joint]


def _robust(parts: Float[np.ndarray, "M K"], moved: Float[np.ndarray, " M"]) -> Float[np.ndarray, " K"]:
    found, ridge = np.zeros(parts.shape[1]), _RIDGE * np.eye(parts.shape[1])
    for _ in range(_ROUNDS):
        weighted = parts / (1 + ((moved - parts @ found) / _MISREAD) ** 2)[:, None]
        found = np.linalg.solve(weighted.T @ parts + ridge, weighted.T @ moved)
    return found
