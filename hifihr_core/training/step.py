"""One training step: from a batch to new weights."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.losses.evaluate import evaluate_terms, loss_inputs, total_weights, weigh
from hifihr_core.losses.terms import LossInputs
from hifihr_core.models.contract import Estimate
from hifihr_core.models.placing import PlacedEstimate, place_estimate
from hifihr_core.records import Batch
from hifihr_core.skeleton import ROOT
from hifihr_core.training.guard import Guard, guilty
from hifihr_core.training.optimizer import clip_gradients
from hifihr_core.training.setup import ROOT_LABEL, Run

#: Multiplier that keeps seeds of different steps and processes distinct; any large odd number works.
_RANK_STRIDE = 1_000_003


@dataclass(frozen=True)
class StepResult:
    """The result of a step: the loss, the norm of the gradient before clipping, and the value of every term without its
    weight.
    """

    loss: float
    gradient_norm: float
    terms: dict[str, float]

    def row(self) -> dict[str, float]:
        """Return the numbers under the names that they have in the journal."""
        return {"loss": self.loss, "gradient_norm": self.gradient_norm} | {
            f"term/{k}": v for k, v in self.terms.items()
        }


def train_step(run: Run, batch: Batch, weights: dict[str, float], guard: Guard, *, step: int) -> StepResult | None:
    """Take one optimiser step; return None if it was skipped because a number was not finite.

    Each loss term is a weighted mean over the samples of all processes: each process divides its sum by the mean of the
    processes' total weights, and the gradients are then averaged over processes.
    """
    torch.manual_seed(run.settings.train.seed + step + _RANK_STRIDE * run.world.rank)
    batch = guard.inspect(batch)
    estimate = estimate_batch(run, batch)
    finite = all_finite(estimate)
    if run.world.sum({"bad": (~finite).float()})["bad"] > 0:
        guard.skip_step(batch.keys)
        return None
    prediction = predict(run, batch, estimate)
    ratios = evaluate_terms(inputs_of(run, batch, prediction), run.plan)
    sums = run.world.sum(total_weights(ratios))
    shares = {name: value / run.world.size for name, value in sums.items()}
    loss = weigh(ratios, weights, shares) + untouched(estimate)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = clip_gradients(
        (p for group in run.optimizer.param_groups for p in group["params"] if p.grad is not None),
        run.settings.train.clip_norm,
    )
    if not norm.isfinite():
        guard.skip_step(guilty(batch, ratios))
        return None
    run.optimizer.step()
    totals = run.world.sum({name: ratio.total.sum() for name, ratio in ratios.items()})
    terms = {name: float(totals[name] / sums[name].clamp(min=1e-8)) for name in ratios}
    return StepResult(sum(weights[name] * value for name, value in terms.items()), float(norm), terms)


def estimate_batch(run: Run, batch: Batch, network: nn.Module | None = None) -> Estimate:
    """Return the estimate of the run's network, or of `network`, for a batch; in bfloat16 on CUDA if the settings ask
    for it.
    """
    mixed = run.settings.train.mixed_precision and run.world.device.type == "cuda"
    with torch.autocast(run.world.device.type, dtype=torch.bfloat16, enabled=mixed):
        estimate: Estimate = (network or run.learner)(batch.image, batch.K)
    return estimate


def predict(run: Run, batch: Batch, estimate: Estimate) -> PlacedEstimate:
    """Return the estimated hands in the camera's frame, rendered if the run renders.

    They are placed at the annotated root if the settings ask for it, otherwise at the estimated one.
    """
    return place_estimate(estimate, batch.K, run.hand, root_cam=given_root(run, batch, estimate), renderer=run.renderer)


def given_root(run: Run, batch: Batch, estimate: Estimate) -> Float[Tensor, "B 3"] | None:
    """Return the annotated roots in the camera's frame, metres, with the estimated ones where annotations are missing.

    Returns None if the settings ask for estimated roots, or the batch has no annotated ones.
    """
    if run.settings.render.root != "given" or ROOT_LABEL not in batch.labels:
        return None
    own = place_estimate(estimate, batch.K, run.hand).root_cam
    return torch.where(batch.present[ROOT_LABEL][:, None], batch.labels[ROOT_LABEL][:, ROOT], own)


def inputs_of(run: Run, batch: Batch, prediction: PlacedEstimate) -> LossInputs:
    """Return the inputs of a run's loss terms: the prediction, the batch, and the prediction of the initial network.

    The latter is omitted if the priors are not centred on it.
    """
    start = None if run.start is None else predict_start(run, run.start, batch)
    return loss_inputs(prediction, batch, run.plan, run.facts, perceptual=run.perceptual, start=start)


@torch.no_grad()
def predict_start(run: Run, start: nn.Module, batch: Batch) -> PlacedEstimate:
    """Return the hands as estimated by `start`, the initial network of a run, without rendering them."""
    estimate = estimate_batch(run, batch, start)
    return place_estimate(estimate, batch.K, run.hand, root_cam=given_root(run, batch, estimate))


def numbers_of(estimate: Estimate) -> list[Tensor]:
    """Return all tensors of an estimate."""
    parts = (*vars(estimate.parameters).values(), estimate.root_px, estimate.scale_px_per_m)
    light = () if estimate.light is None else vars(estimate.light).values()
    maps = () if estimate.keypoints is None else (estimate.keypoints.logits,)
    return [part for part in (*parts, *light, *maps) if part is not None]


def all_finite(estimate: Estimate) -> Tensor:
    """Return whether all numbers of an estimate are finite, as a tensor on its device."""
    return torch.stack([part.isfinite().all() for part in numbers_of(estimate)]).all()


def untouched(estimate: Estimate) -> Tensor:
    """Return 0 as a function of all heads: DDP needs a gradient for every parameter, even if no term uses its head."""
    return 0.0 * torch.stack([part.sum() for part in numbers_of(estimate)]).sum()
