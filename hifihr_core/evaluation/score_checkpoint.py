"""Evaluate a checkpoint: run it over the prepared evaluation split, score it, and keep what a submission needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hifihr_core import __version__
from hifihr_core.assets.registry import find_asset
from hifihr_core.assets.store import asset_path, is_installed, remedy
from hifihr_core.errors import AssetError, DataError
from hifihr_core.evaluation.benchmarks.point_files import PointSets, read_ground_truth
from hifihr_core.evaluation.benchmarks.scoring import Scores, score
from hifihr_core.evaluation.benchmarks.submission import anchor_root, to_submission
from hifihr_core.evaluation.benchmarks.table import Benchmark, find_benchmark
from hifihr_core.evaluation.collect import Collected, collect
from hifihr_core.evaluation.examples_page import Example, crop_tiles, pick_examples
from hifihr_core.evaluation.found_boxes import (
    FoundBoxes,
    FoundSamples,
    boxes_document,
    boxes_note,
    crop_scale,
    find_boxes,
)
from hifihr_core.evaluation.inference import (
    PredictBatch,
    RootChoice,
    Surface,
    choose_surface,
    open_batches,
    open_evaluation_shards,
    predict_with,
)
from hifihr_core.evaluation.look_protocol import LookScorer
from hifihr_core.evaluation.part_files import read_parts, write_part
from hifihr_core.evaluation.predicted_parameters import parameter_scorer
from hifihr_core.evaluation.report import all_values, missed_bounds, parse_bound, score_document
from hifihr_core.evaluation.run import Evaluation
from hifihr_core.evaluation.stand_in import make_stand_in, wants_stand_in
from hifihr_core.hands import HandModel
from hifihr_core.machine.parts import WHOLE, Part
from hifihr_core.metrics.image import average_metrics
from hifihr_core.metrics.perceptual import LPIPS_ASSETS, Lpips, load_lpips
from hifihr_core.models.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from hifihr_core.outside.whole_files import sha256_of
from hifihr_core.photos.detectors import build_detector
from hifihr_core.progress import OnProgress, no_progress
from hifihr_core.records import Batch
from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.schema import INDEX_NAME, DatasetFacts

_LPIPS_NET = "alex"


@dataclass(frozen=True)
class RunOptions:
    """How to run a checkpoint. `root="gt"` places hands at the given root instead of the predicted one.

    With `boxes="predicted"` each crop is around the hand that `detector` finds in the picture; see `found_boxes`.
    """

    root: RootChoice = "predicted"
    boxes: Literal["labels", "predicted"] = "labels"
    detector: str = "auto"
    limit: int | None = None
    batch_size: int = 32
    workers: int = 0
    device: torch.device | str = "cpu"


@dataclass(frozen=True)
class _Job:
    """A checkpoint that is ready to run over the samples of one benchmark."""

    weights: Path
    checkpoint: Checkpoint
    hand: HandModel
    benchmark: Benchmark
    shards: ShardSet
    surface: Surface
    predict: PredictBatch
    lpips: Lpips | None
    options: RunOptions
    found: FoundBoxes | None = None

    @property
    def facts(self) -> DatasetFacts:
        """Return the facts of the dataset."""
        return self.shards.index.facts

    @property
    def is_whole(self) -> bool:
        """Return whether every sample of the split is scored."""
        missed = self.found is not None and bool(self.found.missed)
        return self.options.limit is None and not self.shards.index.problem_count and not missed

    @property
    def positions(self) -> list[int]:
        """Return the positions of the scored samples."""
        return list(range(self.count)) if self.found is None else self.found.positions

    @property
    def count(self) -> int:
        """Return the number of scored samples."""
        return min(self.options.limit or len(self.shards), len(self.shards))

    def batches(self, positions: Sequence[int], *, batch_size: int) -> Iterator[Batch]:
        """Yield the crops of some samples."""
        scale = self.facts.crop_scale
        return open_batches(
            self.shards if self.found is None else FoundSamples(self.shards, self.found),
            positions,
            hand_scale=scale if self.found is None else crop_scale(scale),
            image_px=self.checkpoint.settings.data.image_px,
            batch_size=batch_size,
            workers=self.options.workers if batch_size > 1 else 0,
            device=self.options.device,
        )


def evaluate_checkpoint(
    path: Path | None,
    dataset: str,
    *,
    version: str | None = None,
    shards: Path | None = None,
    ground_truth: Path | None = None,
    options: RunOptions = RunOptions(),
    fail_under: Sequence[str] = (),
    parts: Path | None = None,
    on_progress: OnProgress = no_progress,
) -> Evaluation:
    """Run a checkpoint over evaluation shards and score it, without writing anything.

    With `parts`, a folder to which `collect_part` wrote all parts of this run, only the examples are predicted, and the
    scores match those of an undivided run to the last digit.

    The ground truth comes from the shards, or from files below `ground_truth`. HO-3D provides the wrist with every
    sample, so its official scores and submission are for hands moved to that wrist, whatever `options.root` is;
    `camera` in the report has the errors without this. Deterministic on one device. Raises: DataError, AssetError or
    ConfigError, with the remedy; ValueError for `parts` with predicted boxes, which cannot be divided.
    """
    if parts is not None:
        _refuse_predicted_boxes(options)
    find_benchmark(dataset, version=version)
    weights = find_checkpoint(path)
    made = [make_stand_in(dataset, on_progress=on_progress)] if shards is None and wants_stand_in(dataset) else []
    job = _open_job(weights, dataset, version, shards, options)
    bounds = [parse_bound(text, job.benchmark) for text in fail_under]
    if options.boxes == "predicted":
        detector = build_detector(options.detector)
        job = replace(job, found=find_boxes(job.shards, range(job.count), detector, on_progress=on_progress))
    collected, looks = _collect(job, WHOLE, on_progress) if parts is None else _read(job, parts)
    camera, official = _points(collected, job.benchmark)
    truth = _truth(collected, job, ground_truth)
    scores = score(official, truth, job.benchmark)
    document = _document(job, scores, collected) | {"camera": _camera_errors(camera, truth)}
    document["look"] = looks and looks.document()
    document["notes"] += made
    if path is None:
        document["notes"] += [
            "these scores are the shipped network's; for your own, give --checkpoint and its run folder"
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
    options: RunOptions = RunOptions(),
    on_progress: OnProgress = no_progress,
) -> Path:
    """Run a checkpoint over one part of the evaluation samples and write the results to a file in `folder`.

    `evaluate_checkpoint` with the same arguments and ``parts=folder`` combines all parts into one evaluation. Raises:
    the same as `evaluate_checkpoint`; ValueError for predicted boxes, which cannot be divided.
    """
    _refuse_predicted_boxes(options)
    find_benchmark(dataset, version=version)
    weights = find_checkpoint(path)
    if shards is None and wants_stand_in(dataset):
        make_stand_in(dataset, on_progress=on_progress)
    job = _open_job(weights, dataset, version, shards, options)
    collected, looks = _collect(job, part, on_progress)
    return write_part(folder, part, collected, {} if looks is None else looks.tensors(), _origin(job))


def _refuse_predicted_boxes(options: RunOptions) -> None:
    if options.boxes == "predicted":
        raise ValueError("boxes are 'predicted', expected 'labels': detection cannot be divided into parts")


def _collect(job: _Job, part: Part, on_progress: OnProgress) -> tuple[Collected, LookScorer | None]:
    """Predict the samples of a part and collect what is scored."""
    positions, looks = _positions_of(job, part), _new_looks(job)
    if not positions:
        return Collected(), looks
    collected = collect(
        job.batches(positions, batch_size=job.options.batch_size),
        job.predict,
        job.surface,
        job.benchmark,
        total=len(positions),
        lpips=job.lpips,
        scorer=parameter_scorer(job.hand, job.facts),
        looks=looks,
        on_progress=on_progress,
    )
    return collected, looks


def _read(job: _Job, folder: Path) -> tuple[Collected, LookScorer | None]:
    """Return the collected results of all parts."""
    looks = _new_looks(job)
    collected, gathered = read_parts(folder, _origin(job))
    for tensors in gathered:
        if looks is not None and tensors:
            looks.take(tensors)
    return collected, looks


def _new_looks(job: _Job) -> LookScorer | None:
    return LookScorer(job.hand, job.lpips) if parameter_scorer(job.hand, job.facts) else None


def _positions_of(job: _Job, part: Part) -> Sequence[int]:
    """Return the samples of one part of a run: whole batches, the same as in an undivided run."""
    size = job.options.batch_size
    batches = part.run_of(-(-len(job.positions) // size))
    return job.positions[batches.start * size : batches.stop * size]


def _origin(job: _Job) -> dict[str, Any]:
    """Return everything that must be equal in all parts of a run."""
    return {
        "checkpoint": sha256_of(job.weights, error=AssetError),
        "dataset": sha256_of(job.shards.folder / INDEX_NAME),
        "benchmark": job.benchmark.name,
        "samples": len(job.positions),
        "batch_size": job.options.batch_size,
        "root": job.options.root,
        "lpips": job.lpips is not None,
        "hifihr": __version__,
    }


def _open_job(weights: Path, dataset: str, version: str | None, shards: Path | None, options: RunOptions) -> _Job:
    shard_set = open_evaluation_shards(shards, dataset, version=version)
    facts = shard_set.index.facts
    benchmark = find_benchmark(dataset, version=facts.version if dataset == "ho3d" else None)
    checkpoint = load_checkpoint(weights, device=options.device)
    hand, renders = checkpoint.hand_with(benchmark.joint_definition), checkpoint.network.has_appearance
    return _Job(
        weights=weights,
        checkpoint=checkpoint,
        hand=hand,
        benchmark=benchmark,
        shards=shard_set,
        surface=choose_surface(hand, truth_is_stand_in=facts.mano_stand_in),
        predict=predict_with(checkpoint, hand, root=options.root, root_joint=facts.root_joint, renders=renders),
        lpips=_load_lpips(options.device) if renders else None,
        options=options,
    )


def _document(job: _Job, scores: Scores, collected: Collected) -> dict[str, Any]:
    """Return the report: the scores, and everything that they depend on."""
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


def _points(collected: Collected, benchmark: Benchmark) -> tuple[PointSets, PointSets]:
    """Return the predictions in the benchmark's frame and order, as predicted and as officially scored."""
    joints, surface = np.concatenate(collected.joints), np.concatenate(collected.surface)
    camera = to_submission(joints, surface, benchmark)
    given = collected.label("root_cam")
    if benchmark.given_root is None or given is None:
        return camera, camera
    joint = benchmark.to_submission.index(benchmark.given_root)
    return camera, anchor_root(camera, given * np.asarray(benchmark.axes), joint=joint)


def _truth(collected: Collected, job: _Job, ground_truth: Path | None) -> PointSets:
    benchmark, shards = job.benchmark, job.shards
    if ground_truth is not None:
        count = job.count
        truth, _ = read_ground_truth(ground_truth, benchmark.dataset, version=benchmark.version, limit=count)
        if len(truth) != count:
            raise DataError(f"{ground_truth}: {len(truth):,} samples, but {count:,} in {shards.folder}")
        return truth if job.found is None else truth.at(job.positions)
    joints = collected.label("joints_cam")
    if joints is None:
        raise DataError(
            f"{shards.folder}: prepared without ground truth; add evaluation_xyz.json and evaluation_verts.json to "
            "the download and prepare it again, or give their folder with --gt"
        )
    return to_submission(joints, collected.label("mano_vertices_cam"), benchmark)


def _camera_errors(camera: PointSets, truth: PointSets) -> dict[str, float | None]:
    """Return the errors in the camera frame, before any alignment, millimetres."""
    same_mesh = camera.vertices is not None and truth.vertices is not None
    same_mesh = same_mesh and camera.vertices.shape == truth.vertices.shape  # type: ignore[union-attr]
    return {
        "mpjpe_mm": _mean_mm(camera.joints - truth.joints),
        "mpvpe_mm": _mean_mm(camera.vertices - truth.vertices) if same_mesh else None,  # type: ignore[operator]
        "joint_depth_mm": 1000 * float(np.abs((camera.joints - truth.joints)[..., 2]).mean()),
    }


def _mean_mm(difference: np.ndarray) -> float:
    return 1000 * float(np.linalg.norm(difference, axis=-1).mean())


def _load_lpips(device: torch.device | str) -> Lpips | None:
    asset = LPIPS_ASSETS[_LPIPS_NET]
    return load_lpips(asset_path(asset), net=_LPIPS_NET, device=device) if is_installed(asset) else None


def _texture(collected: Collected, benchmark: Benchmark, lpips: Lpips | None, *, renders: bool) -> dict[str, Any]:
    """Return both texture protocols, or the reason why one is unavailable."""
    if not renders:
        return {"unavailable": "the checkpoint has no texture and light heads; train it with rendering"}
    document: dict[str, Any] = {
        name: {"samples": len(rows), **average_metrics(rows)} if rows else {"unavailable": "the data has no true masks"}
        for name, rows in (("paper", collected.paper), ("strict", collected.strict))
    }
    document["paper"]["mask"] = benchmark.paper_mask
    document["lpips"] = (
        f"LPIPS v0.1, {_LPIPS_NET}" if lpips else f"unavailable; {remedy(find_asset(LPIPS_ASSETS[_LPIPS_NET]))}"
    )
    return document


def _notes(job: _Job) -> list[str]:
    notes = [] if job.found is None else [boxes_note(job.found)]
    if job.surface.kind == "stand-in":
        notes.append(
            "the vertices are 778 fixed points of the hand anny, since this synthetic dataset has none of MANO's"
        )
    if not job.is_whole:
        notes.append("not every sample of the split was scored, so no pred.zip is written")
    return notes


def _examples(job: _Job, scores: Scores) -> list[Example]:
    """Predict the best, median and worst samples again, and draw them."""
    errors_mm = 1000 * scores.joints["procrustes"].per_sample_m
    picked = pick_examples(errors_mm)
    batches = job.batches([job.positions[row] for row in picked], batch_size=1)
    return [
        Example(rank, batch.keys[0], float(errors_mm[row]), crop_tiles(batch, job.predict(batch), 0))
        for (row, rank), batch in zip(picked.items(), batches, strict=True)
    ]
