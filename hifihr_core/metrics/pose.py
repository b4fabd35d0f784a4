"""Pose and shape metrics: EPE, PCK and the area under its curve, MPJPE and PA-MPJPE, F-scores.

All lengths are in metres; predicted and true points are in the same frame. The definitions are those of the official
evaluators of FreiHAND and HO-3D (docs/evaluation.md states them with their sources). These are scores, not losses: some
have no gradient.
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
    """Return the Euclidean distance of every point from its true position, metres."""
    return torch.linalg.vector_norm(pred - gt, dim=-1)


def mpjpe(pred: Float[Tensor, "B N 3"], gt: Float[Tensor, "B N 3"]) -> Float[Tensor, " B"]:
    """Return the mean per-joint position error of every sample (the end-point error, EPE), metres."""
    return point_errors(pred, gt).mean(dim=1)


def pa_mpjpe(pred: Float[Tensor, "B N 3"], gt: Float[Tensor, "B N 3"], *, proper: bool = False) -> Float[Tensor, " B"]:
    """Return the mean error of every sample after Procrustes alignment, metres; see `procrustes` for `proper`."""
    return mpjpe(procrustes(pred, gt, proper=proper)(pred), gt)


@dataclass(frozen=True)
class ErrorSummary:
    """The errors of one point set over all samples.

    `per_sample_m` is the mean error of each sample, `per_point_m` that of each point. Concretely, ``pck[t]`` is the
    fraction of all points with an error of at most ``PCK_THRESHOLDS_M[t]``.
    """

    per_sample_m: Float[np.ndarray, " N"]
    per_point_m: Float[np.ndarray, " P"]
    pck: Float[np.ndarray, " T"]

    @property
    def mean_m(self) -> float:
        """Return the mean error, metres: first over samples for each point, then over points."""
        return float(self.per_point_m.mean())

    @property
    def auc(self) -> float:
        """Return the area under the PCK curve from 0 to 50 mm by the trapezoidal rule, divided by 50 mm."""
        return area_under_curve(self.pck)


def summarize_errors(chunks: Iterable[Float[np.ndarray, "_ P"]]) -> ErrorSummary:
    """Summarise errors (samples x points, metres) that come in chunks of samples, of which only one is in memory.

    Raises: ValueError if there are no chunks.
    """
    per_sample, per_point, counts = [], [], np.zeros(len(PCK_THRESHOLDS_M), dtype=np.int64)
    for errors_m in chunks:
        per_sample.append(errors_m.mean(axis=1))
        per_point.append(errors_m.sum(axis=0))
        counts += pck_counts(errors_m)
    if not per_sample:
        raise ValueError("chunks is empty, expected at least one array of errors")
    per_sample_m = np.concatenate(per_sample)
    per_point_m = np.sum(per_point, axis=0) / len(per_sample_m)
    return ErrorSummary(per_sample_m, per_point_m, counts / (len(per_sample_m) * len(per_point_m)))


def pck_counts(errors_m: Float[np.ndarray, "*shape"]) -> np.ndarray:
    """Return the number of errors up to each of `PCK_THRESHOLDS_M`.

    The official score is the mean of one PCK curve per joint or vertex. A single count over all points gives the same,
    since every point occurs equally often: once in each sample.
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

    This is the harmonic mean of two fractions: that of true points whose nearest predicted point is strictly closer
    than the threshold, and that of predicted points whose nearest true point is; 0 if both are 0. The sets may differ
    in size. `threads` is as in `nearest_distances`.
    """
    to_gt, to_pred = nearest_distances(pred, gt, threads=threads)
    scores = np.zeros((len(pred), len(thresholds_m)))
    for column, threshold_m in enumerate(thresholds_m):
        covered, right = (to_pred < threshold_m).mean(axis=1), (to_gt < threshold_m).mean(axis=1)
        total = covered + right
        np.divide(2 * covered * right, total, out=scores[:, column], where=total > 0)
    return scores
