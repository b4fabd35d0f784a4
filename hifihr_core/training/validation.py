"""Validation: the loss from the labels of the supervision level, and metrics from all labels."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor

from hifihr_core.lookup import needed
from hifihr_core.losses.evaluate import evaluate_terms
from hifihr_core.losses.photometric import soft_iou
from hifihr_core.losses.terms import Ratio
from hifihr_core.metrics.pose import mpjpe, pa_mpjpe
from hifihr_core.metrics.psnr import hand_psnr
from hifihr_core.models.placing import PlacedEstimate
from hifihr_core.records import Batch
from hifihr_core.skeleton import ROOT
from hifihr_core.training.guard import broken_samples, leave_out
from hifihr_core.training.setup import Run
from hifihr_core.training.step import inputs_of, predict
from hifihr_core.training.stopping import Stop

MM = 1000.0

#: A request to stop that never comes, for a validation outside a run.
NO_STOP = Stop()


def _joint_error(prediction: PlacedEstimate, batch: Batch) -> Tensor:
    truth = batch.labels["joints_cam"]
    return MM * mpjpe(prediction.hand.joints, truth - truth[:, ROOT : ROOT + 1])


def _aligned_joint_error(prediction: PlacedEstimate, batch: Batch) -> Tensor:
    return MM * pa_mpjpe(prediction.hand.joints, batch.labels["joints_cam"])


def _root_error(prediction: PlacedEstimate, batch: Batch) -> Tensor:
    return MM * torch.linalg.vector_norm(prediction.root_cam - batch.labels["joints_cam"][:, ROOT], dim=-1)


def _pixel_error(prediction: PlacedEstimate, batch: Batch) -> Tensor:
    return torch.linalg.vector_norm(prediction.joints_px - batch.labels["joints_px"], dim=-1).mean(dim=1)


def _silhouette_iou(prediction: PlacedEstimate, batch: Batch) -> Tensor:
    return soft_iou(
        needed(prediction.rendered, "the rendered picture").silhouette, batch.labels["mask"].to(batch.image)
    )


def _masked_psnr(prediction: PlacedEstimate, batch: Batch) -> Tensor:
    rendered = needed(prediction.rendered, "the rendered picture")
    return hand_psnr(rendered.image, rendered.silhouette, batch.image, batch.labels["mask"].bool())


#: Metric -> (required label, whether it needs a rendered picture, function for one value per sample).
METRICS: Mapping[str, tuple[str, bool, Callable[[PlacedEstimate, Batch], Tensor]]] = MappingProxyType(
    {
        "mpjpe_mm": ("joints_cam", False, _joint_error),
        "pa_mpjpe_mm": ("joints_cam", False, _aligned_joint_error),
        "root_mm": ("joints_cam", False, _root_error),
        "joints_2d_px": ("joints_px", False, _pixel_error),
        "iou": ("mask", True, _silhouette_iou),
        "psnr_db": ("mask", True, _masked_psnr),
    }
)


def measure(prediction: PlacedEstimate, batch: Batch) -> dict[str, Ratio]:
    """Return the values per sample of every metric for which the batch has the label and, if the metric needs it, the
    prediction has a rendered picture.

    Samples without the label have weight 0. Units are those in the names of `METRICS`.
    """
    measured = {}
    for name, (label, rendered, metric) in METRICS.items():
        if label in batch.labels and (prediction.rendered is not None or not rendered):
            weight = (batch.present[label] & batch.present["image"]).to(batch.image)
            measured[name] = Ratio(torch.where(weight > 0, metric(prediction, batch), 0.0), weight)
    return measured


@torch.no_grad()
def validate(run: Run, *, epoch: float, stop: Stop = NO_STOP) -> dict[str, float] | None:
    """Return the mean "loss" and metrics over the validation samples of all processes.

    "loss" is that of the supervision level. Lengths are in millimetres, image distances in pixels of the crop. A metric
    without labels is absent, and so is "loss" if no term had data. Uses the averaged weights if the run has them.
    Returns an empty mapping if nothing is held out, and None if a signal asked the run to stop before the end.
    """
    if run.validation is None:
        return {}
    zero = torch.zeros((), device=run.world.device, dtype=torch.float64 if run.world.device.type != "mps" else None)
    names = [*(f"term/{name}" for name in run.plan.terms), *METRICS]
    totals, weights = dict.fromkeys(names, zero), dict.fromkeys(names, zero)
    run.validation.load_state_dict({**run.validation.state_dict(), "epoch": 0, "start": 0})
    with evaluation_mode(run):
        for batch in run.validation:
            if run.world.size == 1 and stop.asked is not None:
                return None
            batch = leave_out(batch, broken_samples(batch))
            prediction = predict(run, batch, run.network(batch.image, batch.K))
            ratios = evaluate_terms(inputs_of(run, batch, prediction), run.plan)
            terms = {f"term/{name}": ratio for name, ratio in ratios.items()}
            for name, ratio in (terms | measure(prediction, batch)).items():
                totals[name] = totals[name] + ratio.total.sum()
                weights[name] = weights[name] + ratio.weight.sum()
    totals, weights = run.world.sum(totals), run.world.sum(weights)
    means = {name: float(totals[name] / weights[name]) for name in names if weights[name] > 0}
    terms_at = run.plan.weights_at(epoch)
    parts = [value * terms_at[name.removeprefix("term/")] for name, value in means.items() if "/" in name]
    loss = {"loss": float(sum(parts))} if parts else {}
    return loss | {name: value for name, value in means.items() if "/" not in name}


@contextmanager
def evaluation_mode(run: Run) -> Iterator[None]:
    """While the body runs, put the network in evaluation mode, with the averaged weights if the run has them."""
    was_training = {module: module.training for module in run.network.modules()}
    run.network.eval()
    own = None
    if run.average is not None:
        own = {name: value.clone() for name, value in run.network.state_dict().items()}
        run.network.load_state_dict(run.average.state)
    try:
        yield
    finally:
        if own is not None:
            run.network.load_state_dict(own)
        for module, training in was_training.items():
            module.training = training
