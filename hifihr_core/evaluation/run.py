"""One evaluation from beginning to end: read, score, write. Everything is checked before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hifihr_core import __version__
from hifihr_core.assets.store import sha256_of
from hifihr_core.evaluation.benchmarks.point_files import (
    OnProgress,
    PointSets,
    no_progress,
    read_ground_truth,
    read_predictions,
)
from hifihr_core.evaluation.benchmarks.protocols import Protocol
from hifihr_core.evaluation.benchmarks.scoring import Scores, score
from hifihr_core.evaluation.benchmarks.submission import write_submission
from hifihr_core.evaluation.page import Example, pick_examples, point_tiles, write_page
from hifihr_core.evaluation.report import (
    all_values,
    missed_bounds,
    parse_bound,
    score_document,
    write_curves,
    write_document,
)
from hifihr_core.geometry.alignment import procrustes
from hifihr_core.skeleton import gather_from

#: The benchmarks' terms: research only.
DATASET_LICENCES = {"freihand": "non-commercial", "ho3d": "non-commercial", "synth": "free"}


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation: its scores, the document of `metrics.json`, and one sentence per missed bound.

    `submission` is None where there is nothing to submit: a part of the benchmark, or predictions that came as a file.
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
    """Score a prediction file against a folder with the benchmark's ground truth; writes nothing.

    With `limit` only the first samples are scored, and the result says that it is not complete.
    Raises: DataError for files that are missing, broken or foreign; ConfigError for unknown names.
    """
    truth, protocol = read_ground_truth(ground_truth, dataset, version=version, limit=limit)
    bounds = [parse_bound(text, protocol) for text in fail_under]
    points = read_predictions(predictions, truth, protocol, partial=limit is not None)
    scores = score(points, truth, protocol, on_progress=on_progress)
    document = score_document(scores, complete=is_complete(truth, protocol)) | {
        "predictions": {"file": predictions.name, "sha256": sha256_of(predictions)},
        "licences": {"dataset": DATASET_LICENCES[dataset]},
        "hifihr": __version__,
    }
    missed = missed_bounds(bounds, all_values(document))
    return Evaluation(scores, document, missed, _point_examples(scores, points, truth))


def is_complete(truth: PointSets, protocol: Protocol) -> bool:
    """Return whether all samples of the benchmark are there; a generated tree in its form is not the benchmark."""
    return len(truth) == protocol.samples or protocol.dataset == "synth"


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write the submission, the PCK curves, the page of samples and, last, `metrics.json`.

    Each file appears whole or not at all. Raises: DataError where the disk refuses.
    """
    if evaluation.submission is not None:
        write_submission(folder / "pred.zip", evaluation.submission)
    write_curves(folder / "pck.png", evaluation.scores)
    protocol = evaluation.document["protocol"]
    facts = {name: str(protocol[name]) for name in ("samples", "joint_definition")}
    write_page(folder / "samples.html", f"Evaluation on {protocol['name']}", evaluation.examples, facts)
    write_document(folder / "metrics.json", evaluation.document)


def _point_examples(scores: Scores, points: PointSets, truth: PointSets) -> list[Example]:
    """Return the examples of a prediction file: joints alone, after Procrustes."""
    errors_mm = 1000 * scores.joints["procrustes"].per_sample_m
    gather = list(gather_from(scores.protocol.joint_order))
    examples = []
    for position, rank in pick_examples(errors_mm).items():
        pred, gt = points.joints[position], truth.joints[position]
        fit = procrustes(torch.from_numpy(pred[None]), torch.from_numpy(gt[None]))
        aligned = fit(torch.from_numpy(pred[None])).numpy()[0]
        tiles = point_tiles(aligned[gather], gt[gather], flip_y=scores.protocol.axes[1] < 0)
        examples.append(Example(rank, f"sample {position}", float(errors_mm[position]), tiles))
    return examples
