"""What the benchmarks of learning share: what stands beside an estimate, from the mean hand to the true one."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from hifihr_core.geometry.cameras import measure_root
from hifihr_core.hands import HandModel
from hifihr_core.models.heads import bounded_light
from hifihr_core.models.reconstructor import Estimate
from hifihr_core.records import Batch, Light


def mean_look(estimate: Estimate, hand: HandModel) -> Estimate:
    """Return the estimate with the mean texture under a plain light."""
    count = len(estimate.root_px)
    parameters = replace(estimate.parameters, texture=torch.zeros(count, hand.texture_dim))
    return replace(estimate, parameters=parameters, light=bounded_light(torch.zeros(count, 9)))


def mean_hand(estimate: Estimate, hand: HandModel) -> Estimate:
    """Return the mean pose, shape and look where the network puts the hand."""
    return mean_look(replace(estimate, parameters=hand.mean_parameters(len(estimate.root_px))), hand)


def true_place(estimate: Estimate, batch: Batch) -> Estimate:
    """Return the estimate's look on the true hand at its true place: what is wrong then is the look."""
    geometry = {name: batch.labels[name] for name in ("global_orient", "pose", "shape")}
    root_px, scale = measure_root(batch.labels["root_cam"], batch.K)
    parameters = replace(estimate.parameters, **geometry)
    return replace(estimate, parameters=parameters, root_px=root_px, scale_px_per_m=scale)


def true_hand(estimate: Estimate, batch: Batch) -> Estimate:
    """Return what the labels say. What is wrong then no label knows: folds' shade, uneven light, exposure, noise."""
    known = true_place(estimate, batch)
    ambient, color, direction = batch.labels["light"].split(3, dim=-1)
    parameters = replace(known.parameters, texture=batch.labels["texture"])
    return replace(known, parameters=parameters, light=Light(ambient, color, direction))


#: What is scored beside an estimate, by the name of its row.
KINDS: Mapping[str, Callable[[Estimate, Batch, HandModel], Estimate]] = {
    "network": lambda estimate, batch, hand: estimate,
    "mean look": lambda estimate, batch, hand: mean_look(estimate, hand),
    "mean hand": lambda estimate, batch, hand: mean_hand(estimate, hand),
    "its look, true geometry": lambda estimate, batch, hand: true_place(estimate, batch),
    "mean look, true geometry": lambda estimate, batch, hand: mean_look(true_place(estimate, batch), hand),
    "true hand": lambda estimate, batch, hand: true_hand(estimate, batch),
}
