"""Claim: rendering, losses and data take at most 15 % of a training step with EfficientNet-B3 (batch 8, two cores).

Three things are timed alternately, so that the ratios also hold on a busy machine: a whole training step of `train
--supervision full` with texture; the same step without hand, renderer and losses (network forward and backward,
optimiser); and the decoding and augmenting of one batch from shards. Both wall-clock and processor time are given.

Usage: python benchmarks/step_share.py [--rounds 5] [--backbone tf_efficientnet_b3] [--json FILE]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from reporting import write

from hifihr_core.config import load_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.records import Batch
from hifihr_core.shards.packing import pack_split
from hifihr_core.sources.contract import Request
from hifihr_core.sources.synth import open_synth
from hifihr_core.synthesis import SynthOptions
from hifihr_core.training.distributed import World
from hifihr_core.training.guard import Guard
from hifihr_core.training.optimizer import set_training
from hifihr_core.training.setup import Run, set_up
from hifihr_core.training.step import estimate_batch, numbers_of, train_step

LIMIT = 0.15


def make_run(scratch: Path, backbone: str, batch_size: int) -> Run:
    """Return a run over a few packed hands."""
    drawn = {"count": 2 * batch_size, "options": SynthOptions()}
    (split, *_) = open_synth(Request(root=scratch, options=drawn))
    pack_split(split, scratch / "shards")
    overrides = (
        *(f'data.train=["{scratch / "shards"}"]', "data.workers=0", "data.validation_part=0", "model.hand=anny"),
        *(f"model.backbone={backbone}", "model.weights=none", f"train.batch_size={batch_size}"),
    )
    return set_up(load_settings(RunSettings, overrides=overrides), scratch / "run", World(torch.device("cpu")))


def network_step(run: Run, batch: Batch) -> None:
    """Take a step of the network alone: a sum of its outputs replaces hand, renderer and losses."""
    loss = torch.stack([part.square().mean() for part in numbers_of(estimate_batch(run, batch))]).sum()
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    run.optimizer.step()


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the (clock, processor) time of one call."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Print the fractions, and write them if --json is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="tf_efficientnet_b3")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run = make_run(Path(scratch), arguments.backbone, arguments.batch_size)
        set_training(run.network, "all")
        batch = next(iter(run.batches))
        batches = iter(run.batches)

        def load() -> None:
            nonlocal batches
            if next(batches, None) is None:
                batches = iter(run.batches)
                next(batches)

        work = {
            "whole step": lambda: train_step(run, batch, run.plan.weights_at(0), Guard(5), step=0),
            "network alone": lambda: network_step(run, batch),
            "data": load,
        }
        for call in work.values():
            call()
        times = {name: [] for name in work}
        for _ in range(arguments.rounds):
            for name, call in work.items():
                times[name].append(seconds(call))
    report = {}
    for kind, index in (("clock", 0), ("processor", 1)):
        whole, network, data = (median(pair[index] for pair in times[name]) for name in work)
        report[kind] = {
            "network_s": network,
            "rendering_and_losses_s": whole - network,
            "data_s": data,
            "share": (whole - network + data) / (whole + data),
        }
        print(f"{kind:10}", "  ".join(f"{name} {value:.3f}" for name, value in report[kind].items()))
    print("kept" if report["processor"]["share"] <= LIMIT else "NOT kept", f"(limit {LIMIT})")
    if arguments.json:
        options = {"backbone": arguments.backbone, "batch_size": arguments.batch_size, "rounds": arguments.rounds}
        write("step_share", {**options, **report}, arguments.json)


if __name__ == "__main__":
    main()
