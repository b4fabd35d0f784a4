"""Measure hand lengths, and scale hands to a given length, which determines their size and their distance."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.placed_hands import LitHands

#: The bones from the wrist to the middle fingertip; their sum is the length of the flat hand.
_MIDDLE = [0, 9, 10, 11, 12]
_STEPS = 4


def hand_lengths_m(model: HandModel, parameters: HandParameters) -> Float[Tensor, " B"]:
    """Return the length that each hand would have if flat, from the wrist to the tip of the middle finger, metres."""
    joints = model.joints_of(parameters)[:, _MIDDLE]
    return (joints[:, 1:] - joints[:, :-1]).norm(dim=-1).sum(dim=1)


def with_length(model: HandModel, hands: LitHands, length_m: Float[Tensor, " B"]) -> LitHands:
    """Return the hands with the given lengths in metres; their projections stay nearly the same.

    Shape parameters change as little as possible, and the distance of a hand is scaled like its length.
    """
    before = hand_lengths_m(model, hands.parameters).detach()
    parameters = hands.parameters
    for _ in range(_STEPS):
        length, slope = _length_and_slope(model, parameters)
        step = slope * ((length_m - length) / slope.square().sum(dim=1).clamp_min(1e-12))[:, None]
        parameters = replace(parameters, shape=parameters.shape + step)
    return replace(hands, parameters=parameters, root_cam=hands.root_cam * (length_m / before)[:, None])


def relative_spread(model: HandModel, parameters: HandParameters) -> Float[Tensor, " B"]:
    """Return the relative standard deviation of hand length across people in the model."""
    length, slope = _length_and_slope(model, parameters)
    return slope.norm(dim=1) / length


def _length_and_slope(model: HandModel, parameters: HandParameters) -> tuple[Float[Tensor, " B"], Float[Tensor, "B S"]]:
    with torch.enable_grad():
        shape = parameters.shape.detach().requires_grad_(True)
        length = hand_lengths_m(model, replace(parameters, shape=shape))
        (slope,) = torch.autograd.grad(length.sum(), shape)
    return length.detach(), slope
