"""Faults in the middle of a run: nothing that was saved is lost, and one line says what happened."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hifihr_core.config import save_settings
from hifihr_core.errors import AssetError, DataError, FindingsError
from hifihr_core.records import Batch
from hifihr_core.training import loop, state
from hifihr_core.training.guard import Guard, broken_samples, leave_out
from hifihr_core.training.loop import fit
from hifihr_core.training.state import STATE_FILE, read_facts

WORKER = Path(__file__).with_name("ddp_worker.py")


def a_batch(count: int = 3) -> Batch:
    labels = {"joints_cam": torch.ones(count, 21, 3)}
    present = {"joints_cam": torch.ones(count, dtype=torch.bool)}
    keys = tuple(f"sample-{b}" for b in range(count))
    K = torch.eye(3).expand(count, 3, 3).clone()
    return Batch(torch.ones(count, 3, 4, 4), K, keys, ("right",) * count, labels, present)


@pytest.mark.parametrize("where", ["image", "K", "label"])
def test_a_non_finite_number_is_found_and_excluded(where):
    batch = a_batch()
    {"image": batch.image, "K": batch.K, "label": batch.labels["joints_cam"]}[where][1] = torch.nan
    assert broken_samples(batch).tolist() == [False, True, False]
    clean = leave_out(batch, broken_samples(batch))
    assert clean.present["image"].tolist() == clean.present["joints_cam"].tolist() == [True, False, True]
    assert not broken_samples(clean).any()
    assert torch.equal(clean.image[0], batch.image[0])


def test_the_guard_names_samples_and_stops_at_its_limit():
    guard, bad = Guard(limit=2), a_batch()
    bad.image[2] = torch.inf
    guard.inspect(bad)
    guard.inspect(a_batch())  # one good batch, and the count begins anew
    guard.inspect(bad)
    with pytest.raises(FindingsError, match=r"steps in a row with non-finite numbers: 2 .* sample-2"):
        guard.inspect(bad)
    assert guard.samples_left_out == 3


def test_the_guard_counts_a_step_once_and_stops_for_skipped_steps():
    guard, good, bad = Guard(limit=2), a_batch(), a_batch()
    bad.image[0] = torch.nan
    guard.inspect(bad)
    guard.skip_step(["sample-0"])  # the same step
    assert (guard.in_a_row, guard.steps_left_out) == (1, 1)
    guard.inspect(good)
    with pytest.raises(FindingsError, match=r"steps in a row .*: 2 .*continue with --resume, or start a new run"):
        guard.skip_step(["sample-1"])
    guard = Guard(limit=1)
    with pytest.raises(FindingsError, match=r"with non-finite numbers: 1; start a new run with a lower train\.lr"):
        guard.skip_step([])


def test_a_broken_picture_changes_nothing_but_its_own_part(settings_for, shards, tmp_path, monkeypatch):
    """A run with one NaN image continues and counts it, and its weights stay finite."""
    step, spoilt = loop.train_step, []

    def spoiling(run, batch, *arguments, **options):
        if not spoilt:
            spoilt.append(batch.keys[0])
            image = batch.image.clone()
            image[0] = torch.nan
            batch = replace(batch, image=image)
        return step(run, batch, *arguments, **options)

    monkeypatch.setattr(loop, "train_step", spoiling)
    summary = fit(settings_for(shards), tmp_path / "run", device="cpu")
    assert summary.samples_left_out == 1
    assert all(value.isfinite().all() for value in load_file(summary.weights).values())


def test_a_corrupt_shard_ends_the_run_and_saves_it(settings_for, samples, tree, tmp_path):
    """A shard that breaks in the second epoch: a DataError, and the state of the steps before it."""
    broken = replace(samples[5], image=samples[5].image[:100])
    folder = tree.write([*samples[:5], broken, *samples[6:]])
    with pytest.raises(DataError):
        fit(settings_for(folder, "data.validation_part=0", "train.max_steps=6"), tmp_path / "run", device="cpu")
    position = json.loads(read_facts(tmp_path / "run" / STATE_FILE, format=state.FORMAT, version="1")["position"])
    assert position["step"] < 6


def test_a_full_disk_keeps_the_last_checkpoint(settings_for, shards, tmp_path, monkeypatch):
    """A limit on file sizes simulates a full disk: the write fails half-way, and the old files stay intact."""
    settings = settings_for(shards)
    fit(settings, tmp_path / "run", device="cpu")
    before = (tmp_path / "run" / STATE_FILE).read_bytes()
    longer = settings.model_copy(update={"train": settings.train.model_copy(update={"max_steps": 4, "epochs": 9})})
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        with pytest.raises(DataError, match="checkpoints"):
            fit(longer, tmp_path / "run", resume=True, device="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "run" / STATE_FILE).read_bytes() == before
    assert fit(longer, tmp_path / "run", resume=True, device="cpu").steps == 4


@pytest.mark.slow
def test_a_run_killed_while_it_writes_resumes(settings_for, shards, tmp_path):
    """SIGKILL at any moment after the first checkpoint, mostly while one is written: the state is intact."""
    settings = settings_for(shards, "train.max_steps=1000", "train.epochs=1000", "train.validate_every=0")
    save_settings(settings, tmp_path / "settings.toml")
    folder = tmp_path / "run"
    command = [sys.executable, str(WORKER), str(tmp_path / "settings.toml"), str(folder)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    while not (folder / STATE_FILE).exists() and process.poll() is None:
        time.sleep(0.02)
    while not list((folder / "checkpoints").glob(".*")) and process.poll() is None:
        time.sleep(0.001)  # a temporary file: a checkpoint is being written now
    process.kill()
    process.wait()
    position = json.loads(read_facts(folder / STATE_FILE, format=state.FORMAT, version="1")["position"])
    assert position["step"] >= 1
    end = position["step"] + 1
    shorter = settings.model_copy(update={"train": settings.train.model_copy(update={"max_steps": end})})
    assert fit(shorter, folder, resume=True, device="cpu").steps == end


def test_a_damaged_state_is_named(settings_for, shards, tmp_path):
    fit(settings_for(shards), tmp_path / "run", device="cpu")
    path = tmp_path / "run" / STATE_FILE
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(AssetError, match=r"state\.safetensors: not a complete safetensors file"):
        fit(settings_for(shards), tmp_path / "run", resume=True, device="cpu")
