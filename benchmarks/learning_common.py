"""Shared by the benchmarks of learning: what an estimate is compared with, from the mean hand to the true one."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from hifihr_core.geometry.cameras import measure_root
from hifihr_core.hands import HandModel
from hifihr_core.models.contract import Estimate
from hifihr_core.models.heads import bounded_light
from hifihr_core.records import Batch, Light


def as_estimated(estimate: Estimate, batch: Batch, hand: HandModel) -> Estimate:
    """Return the estimate itself."""
    return estimate


def mean_look(estimate: Estimate, batch: Batch, hand: HandModel) -> Estimate:
    """Return the estimate with the mean texture under a plain light."""
    count = len(estimate.root_px)
    parameters = replace(estimate.parameters, texture=torch.zeros(count, hand.texture_dim))
    return replace(estimate, parameters=parameters, light=bounded_light(torch.zeros(count, 9)))


def mean_hand(estimate: Estimate, batch: Batch, hand: HandModel) -> Estimate:
    """Return the mean pose, shape and look where the network puts the hand."""
    return mean_look(replace(estimate, parameters=hand.mean_parameters(len(estimate.root_px))), batch, hand)


def true_geometry(estimate: Estimate, batch: Batch, hand: HandModel) -> Estimate:
    """Return the estimate's look on the true hand at its true position: all errors are errors of the look."""
    geometry = {name: batch.labels[name] for name in ("global_orient", "pose", "shape")}
    root_px, scale = measure_root(batch.labels["root_cam"], batch.K)
    parameters = replace(estimate.parameters, **geometry)
    return replace(estimate, parameters=parameters, root_px=root_px, scale_px_per_m=scale)


def mean_look_true_geometry(estimate: Estimate, batch: Batch, hand: HandModel) -> Estimate:
    """Return the mean look on the true hand at its true position."""
    return mean_look(true_geometry(estimate, batch, hand), batch, hand)


def true_hand(estimate: Estimate, batch: Batch, hand: HandModel) -> Estimate:
    """Return the hand of the labels. Its errors are in no label: shaded folds, uneven light, exposure, noise."""
    known = true_geometry(estimate, batch, hand)
    ambient, color, direction = batch.labels["light"].split(3, dim=-1)
    parameters = replace(known.parameters, texture=batch.labels["texture"])
    return replace(known, parameters=parameters, light=Light(ambient, color, direction))


#: Name of a row -> what it scores.
KINDS: Mapping[str, Callable[[Estimate, Batch, HandModel], Estimate]] = {
    "network": as_estimated,
    "mean look": mean_look,
    "mean hand": mean_hand,
    "its look, true geometry": true_geometry,
    "mean look, true geometry": mean_look_true_geometry,
    "true hand": true_hand,
}


def compared(kind: str, estimate: Estimate, batch: Batch, hand: HandModel) -> Estimate:
    """Return what the row `kind` of `KINDS` scores; an estimate without a look gets the mean one."""
    if estimate.light is None or estimate.parameters.texture is None:
        estimate = mean_look(estimate, batch, hand)
    return KINDS[kind](estimate, batch, hand)
