"""Compute the scores of a benchmark from two sets of points."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from hifihr_core.evaluation.benchmarks.point_files import MANO_VERTICES, PointSets
from hifihr_core.evaluation.benchmarks.table import MESH_ALIGNMENTS, PREFIXES, Alignment, Benchmark
from hifihr_core.geometry.alignment import Similarity, align_scale_translation, distance, procrustes
from hifihr_core.lookup import needed
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.metrics.pose import F_THRESHOLDS_M, ErrorSummary, f_scores, summarize_errors

#: A function of (prediction, truth) that returns the aligned prediction.
Align = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Number of samples processed at once; fixed, so that sums never change.
_CHUNK = 256


@dataclass(frozen=True)
class Scores:
    """The scores of a prediction on a benchmark: errors of joints and of MANO's vertices, and F-scores.

    `vertices` is None if the prediction has no MANO vertices; `f` is None if it has no surface points at all.
    `surface_points` is their number per sample. Concretely, ``f[alignment][n, t]`` is the F-score of sample n at
    ``F_THRESHOLDS_M[t]``.
    """

    benchmark: Benchmark
    joints: Mapping[Alignment, ErrorSummary]
    vertices: Mapping[Alignment, ErrorSummary] | None
    f: Mapping[Alignment, Float[np.ndarray, "N T"]] | None
    surface_points: int

    def metrics(self) -> dict[str, float | None]:
        """Return our metrics by name: errors in mm, areas under PCK curves and F-scores in [0, 1].

        A metric that is not applicable to the prediction is None.
        """
        values: dict[str, float | None] = {}
        for alignment in self.benchmark.joint_alignments:
            prefix = PREFIXES[alignment]
            values[f"{prefix}mpjpe_mm"] = 1000 * self.joints[alignment].mean_m
            values[f"{prefix}auc_joints"] = self.joints[alignment].auc
        for alignment in MESH_ALIGNMENTS:
            prefix = PREFIXES[alignment]
            values[f"{prefix}mpvpe_mm"] = 1000 * self.vertices[alignment].mean_m if self.vertices else None
            values[f"{prefix}auc_vertices"] = self.vertices[alignment].auc if self.vertices else None
            for column, threshold_m in enumerate(F_THRESHOLDS_M):
                name = f"{prefix}f{round(1000 * threshold_m)}"
                values[name] = float(self.f[alignment][:, column].mean()) if self.f else None
        return values

    def official(self) -> dict[str, float | None]:
        """Return the scores under the keys and in the units of the official `scores.txt`: errors in centimetres."""
        values = self.metrics()
        return {key: _official_unit(name, values[name]) for key, name in self.benchmark.official.items()}

    def notes(self) -> list[str]:
        """Return remarks on scores that are missing or computed in an unusual way."""
        if self.f is None:
            return ["no vertices: mesh errors and F-scores are not applicable"]
        if self.vertices is None:
            return [
                f"no MANO vertices: mesh errors are not applicable, and F-scores use the {self.surface_points:,} "
                "surface points of the prediction, aligned like its joints"
            ]
        return []


def _official_unit(name: str, value: float | None) -> float | None:
    return value / 10 if value is not None and name.endswith("_mm") else value


def score(
    predictions: PointSets, truth: PointSets, benchmark: Benchmark, *, on_progress: OnProgress = no_progress
) -> Scores:
    """Score predictions against the truth, both in the frame and joint order of the benchmark, in float64.

    Joints and MANO vertices are aligned separately, as in the official evaluators. Other surface points are aligned
    with the transform of the joints (the official code is meant to do the same, but omits a division). Deterministic.
    """
    anchor, reference = benchmark.scale_bone
    align: dict[Alignment, Align] = {
        "raw": lambda pred, gt: pred,
        "procrustes": lambda pred, gt: _procrustes(pred, gt)(torch.from_numpy(pred)).numpy(),
        "scale_translation": lambda pred, gt: align_scale_translation(pred, gt, anchor=anchor, reference=reference),
    }
    joints = {
        alignment: summarize_errors(_errors(predictions.joints, truth.joints, align[alignment]))
        for alignment in benchmark.joint_alignments
    }
    surface = predictions.vertices
    if surface is None or truth.vertices is None:
        return Scores(benchmark, joints, None, None, 0)
    is_mano = surface.shape[1] == MANO_VERTICES
    vertices = {
        alignment: summarize_errors(_errors(surface, truth.vertices, align[alignment]))
        for alignment in (MESH_ALIGNMENTS if is_mano else ())
    }
    return Scores(benchmark, joints, vertices or None, _f(predictions, truth, on_progress), surface.shape[1])


def _errors(pred: np.ndarray, gt: np.ndarray, align: Align) -> Iterator[np.ndarray]:
    """Yield the point errors of each chunk after alignment."""
    for rows in _chunks(len(pred)):
        yield distance(align(pred[rows], gt[rows]), gt[rows])


def _procrustes(source: np.ndarray, target: np.ndarray) -> Similarity:
    return procrustes(torch.from_numpy(source), torch.from_numpy(target))


def _f(predictions: PointSets, truth: PointSets, on_progress: OnProgress) -> dict[Alignment, np.ndarray]:
    """Return the F-scores of raw and aligned surface points."""
    vertices, true_vertices = (needed(points.vertices, "the vertices") for points in (predictions, truth))
    raw, aligned = [], []
    is_mano = vertices.shape[1] == MANO_VERTICES
    source, target = (vertices, true_vertices) if is_mano else (predictions.joints, truth.joints)
    for rows in _chunks(len(predictions)):
        surface, true_surface = vertices[rows], true_vertices[rows]
        transform = _procrustes(source[rows], target[rows])
        raw.append(f_scores(surface, true_surface))
        aligned.append(f_scores(transform(torch.from_numpy(surface)).numpy(), true_surface))
        on_progress(min(rows.stop, len(predictions)), len(predictions))
    return {"raw": np.concatenate(raw), "procrustes": np.concatenate(aligned)}


def _chunks(total: int) -> Iterator[slice]:
    for start in range(0, total, _CHUNK):
        yield slice(start, start + _CHUNK)
