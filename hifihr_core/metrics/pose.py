"""Pose and shape metrics: EPE, PCK and its area, MPJPE and PA-MPJPE, F-scores.

Metres everywhere; both point sets are in one frame. The definitions are those of the official evaluators of FreiHAND
and HO-3D (docs/evaluation.md gives them with their source). No gradients: these are scores, not losses.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.alignment import procrustes
from hifihr_core.metrics.nearest import nearest_distances

#: The 100 official PCK thresholds, from 0 to 50 mm inclusive.
PCK_THRESHOLDS_M = np.linspace(0.0, 0.05, 100)
F_THRESHOLDS_M = (0.005, 0.015)


def point_errors(pred: Float[Tensor, "B N 3"], gt: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N"]:
    """Return the Euclidean distance of every point from its true position."""
    return torch.linalg.vector_norm(pred - gt, dim=-1)


def mpjpe(pred: Float[Tensor, "B N 3"], gt: Float[Tensor, "B N 3"]) -> Float[Tensor, " B"]:
    """Return the mean per-joint position error of every sample (the end-point error, EPE)."""
    return point_errors(pred, gt).mean(dim=1)


def pa_mpjpe(pred: Float[Tensor, "B N 3"], gt: Float[Tensor, "B N 3"], *, proper: bool = False) -> Float[Tensor, " B"]:
    """Return the mean error of every sample after Procrustes; see `procrustes` for `proper`."""
    return mpjpe(procrustes(pred, gt, proper=proper)(pred), gt)


@dataclass(frozen=True)
class ErrorSummary:
    """The errors of one point set over all samples.

    Concretely, ``pck[t]`` is the fraction of all points with an error of at most ``PCK_THRESHOLDS_M[t]``.
    """

    per_sample_m: Float[np.ndarray, " N"]
    per_point_m: Float[np.ndarray, " P"]
    pck: Float[np.ndarray, " T"]

    @property
    def mean_m(self) -> float:
        """Return the mean over samples for each point, then over points."""
        return float(self.per_point_m.mean())

    @property
    def auc(self) -> float:
        """Return the area under the PCK curve from 0 to 50 mm by the trapezoidal rule, divided by 50 mm."""
        return area_under_curve(self.pck)


def summarize_errors(chunks: Iterable[Float[np.ndarray, "_ P"]]) -> ErrorSummary:
    """Collect the point errors of all samples, chunk by chunk, so that they are never in memory together.

    Raises: ValueError if there are no chunks.
    """
    per_sample, per_point, counts = [], [], np.zeros(len(PCK_THRESHOLDS_M), dtype=np.int64)
    for errors_m in chunks:
        per_sample.append(errors_m.mean(axis=1))
        per_point.append(errors_m.sum(axis=0))
        counts += pck_counts(errors_m)
    if not per_sample:
        raise ValueError("no errors to summarise")
    per_sample_m = np.concatenate(per_sample)
    per_point_m = np.sum(per_point, axis=0) / len(per_sample_m)
    return ErrorSummary(per_sample_m, per_point_m, counts / (len(per_sample_m) * len(per_point_m)))


def pck_counts(errors_m: Float[np.ndarray, "*shape"]) -> np.ndarray:
    """Return the number of errors up to each of `PCK_THRESHOLDS_M`.

    All points are visible and equally frequent, so a single count over all of them equals the official mean of the
    curves per point.
    """
    first_met = np.searchsorted(PCK_THRESHOLDS_M, errors_m.ravel(), side="left")
    return np.bincount(first_met, minlength=len(PCK_THRESHOLDS_M) + 1)[:-1].cumsum()


def area_under_curve(pck: Float[np.ndarray, " T"]) -> float:
    """Return the area under a PCK curve (trapezoidal rule) as a fraction of the maximum: 1 if every error is zero."""
    steps_m = np.diff(PCK_THRESHOLDS_M)
    return float(((pck[1:] + pck[:-1]) / 2 * steps_m).sum() / steps_m.sum())


def f_scores(
    pred: Float[np.ndarray, "B N 3"],
    gt: Float[np.ndarray, "B M 3"],
    *,
    thresholds_m: tuple[float, ...] = F_THRESHOLDS_M,
    threads: int | None = None,
) -> Float[np.ndarray, "B T"]:
    """Return the F-score of every sample at every threshold (Knapitsch et al. 2017).

    The harmonic mean of the fraction of true points with a predicted one strictly closer than the threshold, and the
    fraction of predicted points with such a true one; 0 if both are 0. The sets may differ in size.
    """
    to_gt, to_pred = nearest_distances(pred, gt, threads=threads)
    scores = np.zeros((len(pred), len(thresholds_m)))
    for column, threshold_m in enumerate(thresholds_m):
        covered, right = (to_pred < threshold_m).mean(axis=1), (to_gt < threshold_m).mean(axis=1)
        total = covered + right
        np.divide(2 * covered * right, total, out=scores[:, column], where=total > 0)
    return scores
