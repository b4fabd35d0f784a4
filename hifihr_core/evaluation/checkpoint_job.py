"""Run a checkpoint over the prepared evaluation split of a benchmark, as a whole or in parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from hifihr_core import __version__
from hifihr_core.assets.store import asset_path, is_installed
from hifihr_core.errors import AssetError
from hifihr_core.evaluation.benchmarks.table import Benchmark, find_benchmark
from hifihr_core.evaluation.collect import Collected, collect
from hifihr_core.evaluation.found_boxes import FoundBoxes, FoundSamples, crop_scale
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
from hifihr_core.evaluation.part_files import read_parts
from hifihr_core.evaluation.predicted_parameters import parameter_scorer
from hifihr_core.hands import HandModel
from hifihr_core.machine.parts import Part
from hifihr_core.machine.progress import OnProgress
from hifihr_core.metrics.perceptual import LPIPS_ASSETS, Lpips, load_lpips
from hifihr_core.models.checkpoint import Checkpoint, load_checkpoint
from hifihr_core.outside.whole_files import sha256_of
from hifihr_core.records import Batch
from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.schema import INDEX_NAME, DatasetFacts

LPIPS_NET = "alex"


@dataclass(frozen=True)
class RunOptions:
    """How to run a checkpoint.

    With `root="gt"`, hands are placed at the root position given with each sample instead of the predicted one. With
    `boxes="predicted"`, each crop is around the hand that `detector` finds in the picture; see `found_boxes`. Only the
    first `limit` samples are evaluated (None: all). `workers` is the number of threads that load samples
    (0: only the main thread).
    """

    root: RootChoice = "predicted"
    boxes: Literal["labels", "predicted"] = "labels"
    detector: str = "auto"
    limit: int | None = None
    batch_size: int = 32
    workers: int = 0
    device: torch.device | str = "cpu"


DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class Job:
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
        """Return what the shards record about their dataset."""
        return self.shards.index.facts

    @property
    def is_whole(self) -> bool:
        """Return whether every sample of the split is scored."""
        missed = self.found is not None and bool(self.found.missed)
        return self.options.limit is None and not self.shards.index.problem_count and not missed

    @property
    def positions(self) -> list[int]:
        """Return the positions of the scored samples: with detected boxes, only those whose hand was found."""
        return list(range(self.count)) if self.found is None else self.found.positions

    @property
    def count(self) -> int:
        """Return the number of evaluated samples, including those whose hand was not found."""
        return min(self.options.limit or len(self.shards), len(self.shards))

    def batches(self, positions: Sequence[int], *, batch_size: int) -> Iterator[Batch]:
        """Yield batches of crops of the samples at `positions`, in that order."""
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


def open_job(weights: Path, dataset: str, version: str | None, shards: Path | None, options: RunOptions) -> Job:
    """Open the weights and the evaluation shards. Raises: AssetError or DataError if they are missing or broken."""
    shard_set = open_evaluation_shards(shards, dataset, version=version)
    facts = shard_set.index.facts
    benchmark = find_benchmark(dataset, version=facts.version if dataset == "ho3d" else None)
    checkpoint = load_checkpoint(weights, device=options.device)
    hand, renders = checkpoint.hand_with(benchmark.joint_definition), checkpoint.network.has_appearance
    return Job(
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


def _load_lpips(device: torch.device | str) -> Lpips | None:
    asset = LPIPS_ASSETS[LPIPS_NET]
    return load_lpips(asset_path(asset), net=LPIPS_NET, device=device) if is_installed(asset) else None


def collect_job(job: Job, part: Part, on_progress: OnProgress) -> tuple[Collected, LookScorer | None]:
    """Predict the samples of a part, and return everything that is needed to score them.

    The scorer of looks is None if the dataset has no true parameters of this hand model.
    """
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


def read_collected(job: Job, folder: Path) -> tuple[Collected, LookScorer | None]:
    """Return the results of a whole run, as from `collect_job`, from the files of all its parts in `folder`."""
    looks = _new_looks(job)
    collected, gathered = read_parts(folder, origin_of(job))
    for tensors in gathered:
        if looks is not None and tensors:
            looks.take(tensors)
    return collected, looks


def _new_looks(job: Job) -> LookScorer | None:
    return LookScorer(job.hand, job.lpips) if parameter_scorer(job.hand, job.facts) else None


def _positions_of(job: Job, part: Part) -> Sequence[int]:
    """Return the positions of the samples in one part of a run, whose batches are those of an undivided run."""
    size = job.options.batch_size
    batches = part.run_of(-(-len(job.positions) // size))
    return job.positions[batches.start * size : batches.stop * size]


def origin_of(job: Job) -> dict[str, Any]:
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
