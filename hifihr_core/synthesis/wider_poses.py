"""Random poses beyond those that a hand model samples."""

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.hands.contract import HandModel
from hifihr_core.synthesis.dice import Dice

#: The largest spread of an added angle, in standard deviations of the hand's prior.
_MOST_ADDED = 1.0


def widen_poses(hand: HandModel, pose: Float[Tensor, "B P"], dice: Dice, share: float) -> Float[Tensor, "B P"]:
    """Return the poses, a fraction `share` of which are perturbed, each coefficient independently, within its limits.

    A hand model samples poses along paths between gestures; real hands also have poses between these paths. Fingers of
    perturbed poses may touch or intersect.
    """
    prior = hand.pose_prior()
    spread = prior.basis.square().sum(dim=0).sqrt().to(pose)
    level = _MOST_ADDED * dice.uniform(0.0, 1.0) * dice.chance(share)
    moved = pose + level[:, None] * spread * dice.normal(pose.shape[1])
    limits = prior.limits.to(pose)
    # A sampled pose is not clamped, even if it is slightly outside the limits.
    clamped = torch.maximum(torch.minimum(moved, limits[:, 1]), limits[:, 0])
    return torch.where(level[:, None] > 0, clamped, pose)
