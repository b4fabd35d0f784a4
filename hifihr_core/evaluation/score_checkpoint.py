"""Evaluate a checkpoint: run it over the prepared evaluation split, score it, and prepare a submission."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.evaluation.benchmarks.point_files import PointSets, read_ground_truth
from hifihr_core.evaluation.benchmarks.scoring import Scores, score
from hifihr_core.evaluation.benchmarks.submission import anchor_root, to_submission
from hifihr_core.evaluation.benchmarks.table import Benchmark, find_benchmark
from hifihr_core.evaluation.checkpoint_job import (
    DEFAULT_OPTIONS,
    Job,
    RunOptions,
    collect_job,
    open_job,
    origin_of,
    read_collected,
)
from hifihr_core.evaluation.checkpoint_report import camera_errors, describe_scores
from hifihr_core.evaluation.collect import Collected
from hifihr_core.evaluation.examples_page import Example, crop_tiles, pick_examples
from hifihr_core.evaluation.found_boxes import find_boxes
from hifihr_core.evaluation.part_files import write_part
from hifihr_core.evaluation.report import all_values, missed_bounds, parse_bound
from hifihr_core.evaluation.run import Evaluation
from hifihr_core.evaluation.stand_in import make_stand_in, wants_stand_in
from hifihr_core.machine.parts import WHOLE, Part
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.models.checkpoint import find_checkpoint
from hifihr_core.photos.detectors import build_detector


def evaluate_checkpoint(
    path: Path | None,
    dataset: str,
    *,
    version: str | None = None,
    shards: Path | None = None,
    ground_truth: Path | None = None,
    options: RunOptions = DEFAULT_OPTIONS,
    fail_under: Sequence[str] = (),
    parts: Path | None = None,
    on_progress: OnProgress = no_progress,
) -> Evaluation:
    """Run a checkpoint over evaluation shards and score it, without writing anything.

    `path` is a weight file or run folder (None: the shipped network). With `parts`, a folder to which `collect_part`
    wrote all parts of this run, only the examples are predicted, and the scores match those of an undivided run to the
    last digit. The ground truth comes from the shards, or from files in the folder `ground_truth`.

    HO-3D provides the position of the wrist with every sample, so its official scores and submission are for hands that
    are moved to that wrist, whatever `options.root` is; `camera` in the report has the errors before this. Scores are
    deterministic on one device. Raises: DataError, AssetError or ConfigError, with the remedy; ValueError for `parts`
    together with predicted boxes, since detection cannot be divided into parts.
    """
    if parts is not None:
        _refuse_predicted_boxes(options)
    find_benchmark(dataset, version=version)
    weights = find_checkpoint(path)
    made = [make_stand_in(dataset, on_progress=on_progress)] if shards is None and wants_stand_in(dataset) else []
    job = open_job(weights, dataset, version, shards, options)
    bounds = [parse_bound(text, job.benchmark) for text in fail_under]
    if options.boxes == "predicted":
        detector = build_detector(options.detector)
        job = replace(job, found=find_boxes(job.shards, range(job.count), detector, on_progress=on_progress))
    collected, looks = collect_job(job, WHOLE, on_progress) if parts is None else read_collected(job, parts)
    camera, official = _points(collected, job.benchmark)
    truth = _truth(collected, job, ground_truth)
    scores = score(official, truth, job.benchmark)
    document = describe_scores(job, scores, collected) | {"camera": camera_errors(camera, truth)}
    document["look"] = looks and looks.document()
    document["notes"] += made
    if path is None:
        document["notes"] += [
            "these are scores of the shipped network; to score your own, give --checkpoint and its run folder"
        ]
    return Evaluation(
        scores=scores,
        document=document,
        missed=missed_bounds(bounds, all_values(document)),
        examples=_examples(job, scores),
        submission=official if job.is_whole else None,
    )


def collect_part(
    path: Path | None,
    dataset: str,
    part: Part,
    folder: Path,
    *,
    version: str | None = None,
    shards: Path | None = None,
    options: RunOptions = DEFAULT_OPTIONS,
    on_progress: OnProgress = no_progress,
) -> Path:
    """Run a checkpoint over one part of the evaluation samples and write the results to a file in `folder`.

    `evaluate_checkpoint` with the same arguments and ``parts=folder`` combines all parts into one evaluation. Raises:
    the same as `evaluate_checkpoint`; ValueError for predicted boxes, since detection cannot be divided into parts.
    """
    _refuse_predicted_boxes(options)
    find_benchmark(dataset, version=version)
    weights = find_checkpoint(path)
    if shards is None and wants_stand_in(dataset):
        make_stand_in(dataset, on_progress=on_progress)
    job = open_job(weights, dataset, version, shards, options)
    collected, looks = collect_job(job, part, on_progress)
    return write_part(folder, part, collected, {} if looks is None else looks.tensors(), origin_of(job))


def _refuse_predicted_boxes(options: RunOptions) -> None:
    if options.boxes == "predicted":
        raise ValueError("boxes are 'predicted', expected 'labels': detection cannot be divided into parts")


def _points(collected: Collected, benchmark: Benchmark) -> tuple[PointSets, PointSets]:
    """Return the predictions in the benchmark's frame and joint order, first as predicted, then as officially scored.

    They differ if the benchmark provides the position of a joint, to which hands are moved before scoring.
    """
    joints, surface = np.concatenate(collected.joints), np.concatenate(collected.surface)
    camera = to_submission(joints, surface, benchmark)
    given = collected.label("root_cam")
    if benchmark.given_root is None or given is None:
        return camera, camera
    joint = benchmark.to_submission.index(benchmark.given_root)
    return camera, anchor_root(camera, given * np.asarray(benchmark.axes), joint=joint)


def _truth(collected: Collected, job: Job, ground_truth: Path | None) -> PointSets:
    benchmark, shards = job.benchmark, job.shards
    if ground_truth is not None:
        count = job.count
        truth, _ = read_ground_truth(ground_truth, benchmark.dataset, version=benchmark.version, limit=count)
        if len(truth) != count:
            raise DataError(
                f"{ground_truth}: {len(truth):,} samples, expected {count:,} as in {shards.folder}; "
                "give the ground truth of that dataset"
            )
        return truth if job.found is None else truth.at(job.positions)
    joints = collected.label("joints_cam")
    if joints is None:
        raise DataError(
            f"{shards.folder}: prepared without ground truth; add evaluation_xyz.json and evaluation_verts.json to "
            "the download and prepare it again, or give their folder with --gt"
        )
    return to_submission(joints, collected.label("mano_vertices_cam"), benchmark)


def _examples(job: Job, scores: Scores) -> list[Example]:
    """Predict the best, median and worst samples again, and draw them."""
    errors_mm = 1000 * scores.joints["procrustes"].per_sample_m
    picked = pick_examples(errors_mm)
    batches = job.batches([job.positions[row] for row in picked], batch_size=1)
    return [
        Example(rank, batch.keys[0], float(errors_mm[row]), crop_tiles(batch, job.predict(batch), 0))
        for (row, rank), batch in zip(picked.items(), batches, strict=True)
    ]
