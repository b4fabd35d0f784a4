"""Evaluate a prediction file, and write the results of an evaluation.

Everything is checked before anything is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hifihr_core import __version__
from hifihr_core.evaluation.benchmarks.point_files import (
    PointSets,
    find_marker,
    read_ground_truth,
    read_predictions,
)
from hifihr_core.evaluation.benchmarks.scoring import Scores, score
from hifihr_core.evaluation.benchmarks.submission import write_submission
from hifihr_core.evaluation.benchmarks.table import Benchmark, find_benchmark
from hifihr_core.evaluation.examples_page import Example, pick_examples, point_tiles, write_page
from hifihr_core.evaluation.report import (
    all_values,
    missed_bounds,
    parse_bound,
    score_document,
    write_curves,
    write_document,
)
from hifihr_core.geometry.alignment import procrustes
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.outside.whole_files import sha256_of
from hifihr_core.skeleton import gather_from
from hifihr_core.sources.table import find_source


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation: its scores, the content of `metrics.json`, and one sentence per missed bound.

    `submission` is None if not all samples of the benchmark were scored, or if the predictions came from a file.
    """

    scores: Scores
    document: Mapping[str, Any]
    missed: Sequence[str] = field(default_factory=tuple)
    examples: Sequence[Example] = field(default_factory=tuple)
    submission: PointSets | None = None


def evaluate_files(
    predictions: Path,
    ground_truth: Path,
    dataset: str,
    *,
    version: str | None = None,
    limit: int | None = None,
    fail_under: Sequence[str] = (),
    on_progress: OnProgress = no_progress,
) -> Evaluation:
    """Score a prediction file against a folder with the benchmark's ground truth, without writing anything.

    With `limit` only the first samples are scored, and the result is marked as incomplete.
    Raises: DataError for files that are missing, broken or of another kind; ConfigError for unknown names.
    """
    truth, benchmark = read_ground_truth(ground_truth, dataset, version=version, limit=limit)
    bounds = [parse_bound(text, benchmark) for text in fail_under]
    points = read_predictions(predictions, truth, benchmark, partial=limit is not None)
    scores = score(points, truth, benchmark, on_progress=on_progress)
    document = score_document(scores, complete=is_complete(truth, benchmark)) | {
        "predictions": {"file": predictions.name, "sha256": sha256_of(predictions)},
        "licences": {"dataset": truth_licence(ground_truth, dataset)},
        "hifihr": __version__,
    }
    document["notes"] += unofficial_notes(truth, benchmark)
    missed = missed_bounds(bounds, all_values(document))
    return Evaluation(scores, document, missed, _point_examples(scores, points, truth))


def truth_licence(ground_truth: Path, dataset: str) -> str:
    """Return the licence class of the ground truth: that of its dataset, or of the hand model in a generated dataset.

    A generated dataset contains vertices of a licensed hand model, or points of the free hand in place of MANO's.
    """
    marker = find_marker(ground_truth)
    if not marker.synthetic:
        return find_source(dataset).licence
    return "free" if marker.stand_in_vertices else "gated"


def unofficial_notes(truth: PointSets, benchmark: Benchmark) -> list[str]:
    """Return a remark with the numbers of samples if the ground truth is not the official one."""
    official = find_benchmark(benchmark.dataset, version=benchmark.version).samples
    if benchmark.samples is not None or official is None:
        return []
    return [
        "not official scores: the ground truth is not the official one "
        f"(samples: {len(truth):,}, official: {official:,})"
    ]


def is_complete(truth: PointSets, benchmark: Benchmark) -> bool:
    """Return whether the ground truth has all samples of the benchmark.

    This is always True for "synth", whose number of samples is not fixed, and always False for a dataset generated in
    the layout of another benchmark.
    """
    return len(truth) == benchmark.samples or benchmark.dataset == "synth"


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write the submission, the PCK curves, the page of example samples and, last, `metrics.json`.

    Each file is written atomically. Raises: DataError if one cannot be written.
    """
    if evaluation.submission is not None:
        write_submission(folder / "pred.zip", evaluation.submission)
    write_curves(folder / "pck.png", evaluation.scores)
    benchmark = evaluation.document["protocol"]
    facts = {name: str(benchmark[name]) for name in ("samples", "joint_definition")}
    write_page(folder / "samples.html", f"Evaluation on {benchmark['name']}", evaluation.examples, facts)
    write_document(folder / "metrics.json", evaluation.document)


def _point_examples(scores: Scores, points: PointSets, truth: PointSets) -> list[Example]:
    """Return the examples of a prediction file: drawings of joints only, after Procrustes alignment."""
    errors_mm = 1000 * scores.joints["procrustes"].per_sample_m
    gather = list(gather_from(scores.benchmark.joint_order))
    examples = []
    for position, rank in pick_examples(errors_mm).items():
        pred, gt = points.joints[position], truth.joints[position]
        fit = procrustes(torch.from_numpy(pred[None]), torch.from_numpy(gt[None]))
        aligned = fit(torch.from_numpy(pred[None])).numpy()[0]
        tiles = point_tiles(aligned[gather], gt[gather], flip_y=scores.benchmark.axes[1] < 0)
        examples.append(Example(rank, f"sample {position}", float(errors_mm[position]), tiles))
    return examples
