"""Runs whose priors are centred on the estimates of their starting network."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.models.checkpoint import NEWEST, START
from hifihr_core.training.loop import fit

SELF = ("train.supervision=self", "render.enabled=false", "model.texture=false")
HELD = (*SELF, "loss.priors=start")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tmp_path_factory.mktemp("trained") / "run"


@pytest.fixture
def start(settings_for, shards, trained):
    """Return the weight file of a short run."""
    if not trained.exists():
        fit(settings_for(shards, *SELF), trained, device="cpu")
    return trained / NEWEST


def rows_of(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == "train"]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_start_is_kept_and_priors_begin_at_zero(settings_for, shards, start, tmp_path):
    settings = settings_for(shards, *HELD, "train.freeze_statistics=true")
    fit(settings, tmp_path / "run", init=start, device="cpu")
    assert same(load_file(tmp_path / "run" / START), load_file(start))
    first, *_, last = rows_of(tmp_path / "run")
    for name in ("term/start_depth", "term/pose_prior", "term/shape_prior"):
        assert first[name] == 0 < last[name], name


def test_a_resumed_run_knows_its_first_start(settings_for, shards, start, tmp_path):
    settings = settings_for(shards, *HELD, "train.schedule=constant")
    fit(settings, tmp_path / "whole", init=start, device="cpu")
    part = settings.model_copy(update={"train": settings.train.model_copy(update={"max_steps": 1})})
    fit(part, tmp_path / "cut", init=start, device="cpu")
    fit(settings, tmp_path / "cut", resume=True, device="cpu")
    assert same(load_file(tmp_path / "whole" / NEWEST), load_file(tmp_path / "cut" / NEWEST))
    shutil.copy(tmp_path / "cut" / "config.toml", tmp_path / "cut" / START)
    longer = settings.model_copy(update={"train": settings.train.model_copy(update={"max_steps": 4})})
    with pytest.raises(AssetError, match=START.name):
        fit(longer, tmp_path / "cut", resume=True, device="cpu")


def test_priors_of_random_heads_pull_to_the_mean(settings_for, shards, tmp_path):
    with pytest.raises(ConfigError, match=r"loss\.priors: .* needs a trained network, but this run has random heads"):
        fit(settings_for(shards, *HELD), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    notes = []
    fit(settings_for(shards, *SELF), tmp_path / "run", device="cpu", on_note=notes.append)
    assert not (tmp_path / "run" / START).exists()
    assert 'omitted loss terms: start_depth (loss.priors is "mean")' in notes
