"""What the benchmarks of learning share: the estimates that a network must beat."""

from dataclasses import replace

import torch

from hifihr_core.hands import HandModel
from hifihr_core.models.heads import bounded_light
from hifihr_core.models.reconstructor import Estimate


def mean_look(estimate: Estimate, hand: HandModel) -> Estimate:
    """Return the estimate with the mean texture under a plain light."""
    count = len(estimate.root_px)
    parameters = replace(estimate.parameters, texture=torch.zeros(count, hand.texture_dim))
    return replace(estimate, parameters=parameters, light=bounded_light(torch.zeros(count, 9)))


def mean_hand(estimate: Estimate, hand: HandModel) -> Estimate:
    """Return the mean pose, shape and look where the network puts the hand."""
    return mean_look(replace(estimate, parameters=hand.mean_parameters(len(estimate.root_px))), hand)
