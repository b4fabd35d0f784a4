"""Evaluate every term of a plan on a batch, and their weighted sum."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hifihr_core.geometry.meshes import edges
from hifihr_core.hands.contract import HandModel
from hifihr_core.losses.compared_regions import REGIONS
from hifihr_core.losses.supervision import Plan
from hifihr_core.losses.terms import HandFacts, LossInputs, Ratio
from hifihr_core.models.placing import PlacedEstimate
from hifihr_core.records import Batch

#: Side of the maps from which vertex albedo is compared; larger maps are averaged to it.
ALBEDO_MAP_PX = 128


def hand_facts(hand: HandModel) -> HandFacts:
    """Return the facts of a hand model that terms need, on its device."""
    mano_faces = getattr(hand, "mano_faces", None)
    return HandFacts(
        prior=hand.pose_prior(),
        edges=edges(hand.faces),
        vertex_colors=hand.with_small_maps(ALBEDO_MAP_PX).vertex_colors,
        mano_edges=None if mano_faces is None else edges(mano_faces),
    )


def capabilities_of(
    hand: HandModel, *, renders: bool, perceptual: bool, extra: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return the names in `supervision.CAPABILITIES` that a run with this hand has; the image network adds `extra`."""
    offered = {
        "mano_vertices": hand.has_mano_vertices,
        "mano_edges": getattr(hand, "mano_faces", None) is not None,
        "render": renders,
        "region": renders,
        "perceptual": perceptual,
    }
    return frozenset(name for name, has in offered.items() if has) | extra


def loss_inputs(
    prediction: PlacedEstimate,
    batch: Batch,
    plan: Plan,
    hand: HandFacts,
    *,
    perceptual: nn.Module | None = None,
    start: PlacedEstimate | None = None,
) -> LossInputs:
    """Return what the plan's terms may read from a batch, with only the labels that they use."""
    labels = {name: batch.labels[name] for name in plan.labels if name in batch.labels}
    present = {name: batch.present[name] for name in labels}
    absent = torch.zeros(len(batch), dtype=torch.bool, device=batch.image.device)
    present |= dict.fromkeys(plan.labels - set(labels), absent)
    present["image"] = batch.present.get("image", ~absent)
    region = trust = None
    if prediction.rendered is not None and REGIONS[plan.region].labels <= set(labels):
        region, trust = REGIONS[plan.region].function(prediction.rendered, labels, present)
    return LossInputs(prediction, batch.image, batch.K, labels, present, hand, region, trust, perceptual, start)


def evaluate_terms(inputs: LossInputs, plan: Plan) -> dict[str, Ratio]:
    """Return every term of the plan as a ratio; a term has weight 0 if no sample in the batch has its label."""
    nothing = Ratio(*(torch.zeros(2, len(inputs.image), device=inputs.image.device)))
    return {
        name: term.function(inputs) if all(inputs.present[label].any() for label in term.labels) else nothing
        for name, term in plan.terms.items()
    }


def weigh(ratios: Mapping[str, Ratio], weights: Mapping[str, float], sums: Mapping[str, Tensor]) -> Tensor:
    """Return the loss: the sum over terms of the term's total, divided by its entry in `sums`, times its weight.

    `sums` are the total weights of the step's samples (see `total_weights`), including those in other processes.
    """
    parts = [weights[name] * ratio.total.sum() / sums[name].clamp(min=1e-8) for name, ratio in ratios.items()]
    return torch.stack(parts).sum()


def total_weights(ratios: Mapping[str, Ratio]) -> dict[str, Tensor]:
    """Return the summed weight of every term in this batch."""
    return {name: ratio.weight.sum() for name, ratio in ratios.items()}
