"""Two Gloo processes train as one process with the summed batch, and survive the death of one of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hifihr_core.config import save_settings
from hifihr_core.errors import ConfigError, DeviceError
from hifihr_core.machine.device import choose_device
from hifihr_core.training.distributed import World
from hifihr_core.training.loop import fit

WORKER = Path(__file__).with_name("ddp_worker.py")


def torchrun(settings, folder: Path, **variables: str) -> tuple[int, str]:
    """Run two processes that torchrun may restart once; return the exit code and stderr."""
    save_settings(settings, folder.with_suffix(".toml"))
    command = (
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"),
        *(str(WORKER), str(folder.with_suffix(".toml")), str(folder)),
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            errors = process.communicate()[1]
            return process.returncode, errors
        finally:
            process.terminate()  # a hung torchrun takes its processes along


def losses(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["kind"] == "train"]


@pytest.mark.slow
def test_two_processes_are_one_and_a_killed_one_comes_back(settings_for, shards, tmp_path):
    """The loss curve is that of the summed batch, even if torchrun restarts a killed rank."""
    # Layer normalisation: batch statistics are those of one process on the CPU, where torch cannot synchronise them.
    settings = settings_for(shards, "model.backbone=convnext_atto", "model.norm=layer", "train.validate_every=0")
    fit(settings, tmp_path / "one", device="cpu")
    code, errors = torchrun(settings, tmp_path / "two", KILL_AT="2")
    assert code == 0, errors
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=2e-3)
    assert len(losses(tmp_path / "two")) == 3


def test_a_single_process_sums_to_itself():
    world = World(torch.device("cpu"))
    assert world.sum({"a": torch.tensor(2.0)}) == {"a": torch.tensor(2.0)}


def test_a_missing_device_is_named():
    with pytest.raises(DeviceError, match="unknown device 'abacus', expected auto, cpu, cuda"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match=r"device cuda:0: no such device \(CUDA devices found: 0\); use"):
            choose_device("cuda")


def test_a_batch_is_split_evenly_or_refused():
    world = World(torch.device("cpu"), rank=1, size=4)
    assert world.part_of(12) == 3
    with pytest.raises(
        ConfigError, match=r"train\.batch_size: found 6, expected a multiple of the number of processes, 4"
    ):
        world.part_of(6)
