"""Data held out for validation: at least something, or a note; an empty validation is never a score."""

import json

import numpy as np
import pytest

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.training.data import open_data
from hifihr_core.training.loop import fit


@pytest.fixture
def settings(settings_for, samples, tree):
    """Return ``settings(count, *overrides)``: a run on this many samples, with the default fraction held out."""

    def make(count, *overrides):
        return settings_for(tree.write(samples[:count]), "data.validation_part=0.02", *overrides)

    return make


@pytest.mark.parametrize("count", [2, 5, 12])
def test_at_least_one_annotation_is_held_out(settings, count):
    data = open_data(settings(count).data, labels=frozenset({"joints_cam"}))
    assert [len(dataset.positions) for dataset in data.held_out] == [1]
    assert sum(len(dataset.positions) for dataset in data.train) == count - 1
    assert not np.intersect1d(data.train[0].positions, data.held_out[0].positions).size
    assert data.notes == ()


def test_one_annotation_cannot_be_split(settings):
    with pytest.raises(ConfigError, match=r"number of annotations is 1, expected at least 2.*data.validation_part=0"):
        open_data(settings(1).data, labels=frozenset({"joints_cam"}))


def test_without_validation_there_is_no_score_and_no_best(settings, tmp_path):
    notes = []
    run = settings(8, "data.validation_part=0")
    summary = fit(run, tmp_path / "run", device="cpu", on_note=notes.append)
    assert summary.validation == {}
    assert not (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()
    assert "no data is held out for validation: there are no scores, and no best checkpoint is kept" in notes
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in rows} == {"train"}


def test_a_validation_in_which_every_sample_is_broken_is_not_a_score(settings, tmp_path, monkeypatch):
    from hifihr_core.training import validation

    monkeypatch.setattr(validation, "broken_samples", lambda batch: batch.present["joints_cam"] | True)
    summary = fit(settings(8), tmp_path / "run", device="cpu")
    assert "loss" not in summary.validation
    assert not (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()


def test_named_validation_data_must_hold_something(settings, samples, tree, monkeypatch):
    from hifihr_core.training import data

    run = settings(8, f'data.validation=["{tree.write(samples[:2], "other", "evaluation")}"]')
    real = data.open_dataset

    def emptied(name, **options):
        dataset = real(name, **options)
        return dataset if options["training"] else type(dataset)(name, dataset.shards, np.zeros(0, int), dataset.facts)

    monkeypatch.setattr(data, "open_dataset", emptied)
    with pytest.raises(DataError, match=r"data\.validation: .* contains no samples"):
        open_data(run.data, labels=frozenset({"joints_cam"}))
