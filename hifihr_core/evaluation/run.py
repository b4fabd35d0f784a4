"""One evaluation from beginning to end: read, score, write. Everything is checked before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hifihr_core import __version__
from hifihr_core.assets.store import sha256_of
from hifihr_core.evaluation.files import OnProgress, PointSets, no_progress, read_ground_truth, read_predictions
from hifihr_core.evaluation.protocols import Protocol
from hifihr_core.evaluation.report import (
    missed_bounds,
    parse_bound,
    score_document,
    write_curves,
    write_document,
)
from hifihr_core.evaluation.scoring import Scores, score

#: The benchmarks' terms: research only.
DATASET_LICENCES = {"freihand": "non-commercial", "ho3d": "non-commercial", "synth": "free"}


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation: its scores, the document of `metrics.json`, and one sentence per missed bound."""

    scores: Scores
    document: Mapping[str, Any]
    missed: Sequence[str] = field(default_factory=tuple)


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
    bounds = [parse_bound(text, protocol, metric_names(protocol)) for text in fail_under]
    points = read_predictions(predictions, truth, protocol, partial=limit is not None)
    scores = score(points, truth, protocol, on_progress=on_progress)
    document = score_document(scores, complete=is_complete(truth, protocol)) | {
        "predictions": {"file": predictions.name, "sha256": sha256_of(predictions)},
        "licences": {"dataset": DATASET_LICENCES[dataset]},
        "hifihr": __version__,
    }
    return Evaluation(scores, document, missed_bounds(bounds, all_values(scores)))


def is_complete(truth: PointSets, protocol: Protocol) -> bool:
    """Return whether all samples of the benchmark are there."""
    return protocol.samples is None or len(truth) == protocol.samples


def metric_names(protocol: Protocol) -> list[str]:
    """Return every name that a bound may use: ours, then the official keys."""
    return [*dict.fromkeys(protocol.metrics), *protocol.official]


def all_values(scores: Scores) -> dict[str, float | None]:
    """Return all metrics under our names and the official keys."""
    return scores.metrics() | scores.official()


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write the PCK curves and, last, `metrics.json`; each file appears whole or not at all."""
    write_curves(folder / "pck.png", evaluation.scores)
    write_document(folder / "metrics.json", evaluation.document)
