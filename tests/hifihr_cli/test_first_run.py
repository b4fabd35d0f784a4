"""The first run of a new user: a new folder, no network, the bare commands in order."""

import json
import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "hand.jpg"


#: Settings that make the training short; everything else is what a user gets.
SHORT = (
    *("--set", "train.max_steps=2", "--set", "train.batch_size=2", "--set", "data.validation_limit=2"),
    *("--set", "data.workers=0", "--device", "cpu"),
)


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Return a new folder without data, cache or network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIFIHR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HIFIHR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.slow
def test_every_line_of_a_first_run_ends_well(fresh, run_cli, monkeypatch):
    from hifihr_core.evaluation import stand_in

    monkeypatch.setattr(stand_in, "HANDS", 2)
    shutil.copy(EXAMPLE, fresh / "img.jpg")
    made = run_cli("prepare", "synth", "--as", "freihand", "--count", "4", "--evaluation", "1")
    assert made.code == 0, made.err
    assert run_cli("prepare", "freihand", "--workers", "1").code == 0
    trained = run_cli("train", "--supervision", "self", *SHORT)
    assert trained.code == 0, trained.err
    assert "starting from the shipped network; to train the paper's network, give one of its presets" in trained.err
    assert (fresh / "runs" / "train-self-1" / "report.html").exists()
    scored = run_cli("eval", "--dataset", "ho3d", "--json", "--device", "cpu")
    assert scored.code == 0, scored.err
    notes = json.loads(scored.out)["notes"]
    assert "these are scores of the shipped network; to score your own, give --checkpoint and its run folder" in notes
    assert any("these scores are not comparable with scores on ho3d" in note for note in notes)
    predicted = run_cli("predict", "img.jpg", "--device", "cpu")
    assert predicted.code == 0, predicted.err


def test_without_any_data_eval_names_what_to_prepare(fresh, run_cli):
    ended = run_cli("eval", "--dataset", "ho3d", "--device", "cpu")
    assert ended.code == 3
    assert "hifihr prepare" in ended.message


def test_without_any_data_train_says_what_to_prepare_and_nothing_else(fresh, run_cli):
    ended = run_cli("train", "--supervision", "self", "--device", "cpu")
    assert ended.code == 3
    assert "run `hifihr prepare freihand` to make it" in ended.message
    assert [line for line in ended.err.splitlines() if line.startswith("note:")] == []
    assert not (fresh / "runs").exists()
