"""Predict batches, and collect everything that is needed to score the predictions: points, pictures, parameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hifihr_core.errors import DataError
from hifihr_core.evaluation.benchmarks.table import Benchmark
from hifihr_core.evaluation.inference import PredictBatch, Surface
from hifihr_core.evaluation.look_protocol import LookScorer
from hifihr_core.evaluation.predicted_parameters import ParameterScorer
from hifihr_core.lookup import needed
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.metrics.image import TexturePair, paper_metrics, strict_metrics
from hifihr_core.metrics.perceptual import Lpips
from hifihr_core.models.placing import PlacedEstimate
from hifihr_core.records import Batch

Row = Mapping[str, float | None]


@dataclass
class Collected:
    """The results of a run over evaluation shards.

    `joints` and `surface` contain one array of points per batch, in our camera frame, metres. `truth` contains the
    labels "joints_cam", "mano_vertices_cam" and "root_cam" of the samples that have them, also one array per batch.
    `keys` and `parameters` have one entry per sample; `paper` and `strict` are the texture metrics of the two
    protocols, one entry per sample that has the necessary labels.
    """

    keys: list[str] = field(default_factory=list)
    joints: list[np.ndarray] = field(default_factory=list)
    surface: list[np.ndarray] = field(default_factory=list)
    truth: dict[str, list[np.ndarray]] = field(default_factory=dict)
    paper: list[Row] = field(default_factory=list)
    strict: list[Row] = field(default_factory=list)
    parameters: list[Row] = field(default_factory=list)

    def label(self, name: str) -> np.ndarray | None:
        """Return a label of all samples in float64, or None if some sample lacks it."""
        rows = self.truth.get(name, [])
        return np.concatenate(rows).astype(np.float64) if sum(map(len, rows)) == len(self.keys) else None


def collect(
    batches: Iterable[Batch],
    predict: PredictBatch,
    surface: Surface,
    benchmark: Benchmark,
    *,
    total: int,
    lpips: Lpips | None = None,
    scorer: ParameterScorer | None = None,
    looks: LookScorer | None = None,
    on_progress: OnProgress = no_progress,
) -> Collected:
    """Predict every batch, and collect what is needed to score the predictions.

    `total` is the number of samples, for `on_progress`. Raises: DataError if a prediction is not finite.
    """
    out = Collected()
    for batch in batches:
        prediction = predict(batch)
        points = surface.of(prediction)
        _check_finite(batch, prediction.joints_cam, points)
        out.keys += batch.keys
        out.joints.append(_array(prediction.joints_cam))
        out.surface.append(_array(points))
        for name in ("joints_cam", "mano_vertices_cam", "root_cam"):
            if name in batch.labels:
                out.truth.setdefault(name, []).append(_array(batch.labels[name][batch.present[name]]))
        if prediction.rendered is not None:
            _add_texture(out, batch, prediction, benchmark, lpips)
        if scorer is not None:
            out.parameters += scorer(batch, prediction)
        if looks is not None:
            looks.add(batch, prediction)
        on_progress(len(out.keys), total)
    return out


def texture_pairs(batch: Batch, prediction: PlacedEstimate) -> list[TexturePair]:
    """Return, for each sample, the photo and the rendered hand in the form that the texture metrics need."""
    rendered = needed(prediction.rendered, "the rendered picture")
    on_black = _array(rendered.image.permute(0, 2, 3, 1)).astype(np.float64)
    coverage = _array(rendered.silhouette).astype(np.float64)
    photo = _array(batch.image.permute(0, 2, 3, 1)).astype(np.float64)
    return [
        TexturePair(
            on_white=on_black[b] + (1 - coverage[b])[..., None],
            on_black=on_black[b],
            photo=photo[b],
            coverage=coverage[b],
        )
        for b in range(len(batch))
    ]


def _add_texture(
    out: Collected, batch: Batch, prediction: PlacedEstimate, benchmark: Benchmark, lpips: Lpips | None
) -> None:
    masks = batch.labels.get("mask")
    for b, pair in enumerate(texture_pairs(batch, prediction)):
        has_mask = masks is not None and bool(batch.present["mask"][b])
        true_mask = _array(masks[b]).astype(bool) if has_mask and masks is not None else None
        if benchmark.paper_mask == "silhouette":
            out.paper.append(paper_metrics(pair, mask=pair.coverage > 0, lpips=lpips))
        elif true_mask is not None:
            out.paper.append(paper_metrics(pair, mask=true_mask, lpips=lpips))
        if true_mask is not None and true_mask.any():
            out.strict.append(strict_metrics(pair, mask=true_mask, lpips=lpips))


def _check_finite(batch: Batch, *points: Tensor) -> None:
    for values in points:
        bad = ~values.isfinite().flatten(1).all(dim=1)
        if bad.any():
            key = batch.keys[int(bad.nonzero()[0])]
            raise DataError(
                f"{key}: the prediction is not finite; choose another checkpoint, since this one is broken or its "
                "training diverged"
            )


def _array(values: Tensor) -> np.ndarray:
    return values.detach().to("cpu", torch.float32 if values.is_floating_point() else values.dtype).numpy()
