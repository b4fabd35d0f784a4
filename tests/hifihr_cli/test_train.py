"""`hifihr pretrain` and `hifihr train` as a user runs them."""

import json
from pathlib import Path

import pytest

SMALL = (
    *("--set", "model.backbone=mobilenetv3_small_050", "--set", "model.weights=none", "--set", "data.image_px=64"),
    *("--set", "train.batch_size=2", "--set", "train.max_steps=2", "--set", "data.validation_limit=2"),
    *("--set", "data.workers=0", "--device", "cpu"),
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pretraining_then_training_on_hands_made_on_the_fly(run_cli, here):
    first = run_cli("pretrain", "--data", "synth", *SMALL)
    assert first.code == 0, first.err
    weights = Path(first.out.strip())
    assert weights == Path("runs/pretrain-1/checkpoints/newest.safetensors")
    assert "rendering is off" in first.err
    assert "its report.html shows" in first.err
    second = run_cli("train", "--supervision", "self", "--data", "synth", "--init", weights, "--json", *SMALL)
    assert second.code == 0, second.err
    summary = json.loads(second.out)
    assert summary["folder"] == "runs/train-self-1"
    assert summary["steps"] == 2
    assert "with fresh heads for light, texture" in second.err
    more = run_cli("train", "--resume", "--out", "runs/train-self-1", "--set", "train.max_steps=3", "--device", "cpu")
    assert more.code == 0, more.err
    rows = [json.loads(line) for line in Path("runs/train-self-1/metrics.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows) == 3


def test_the_bare_command_names_the_remedy_without_data(run_cli, here):
    ended = run_cli("train", "--supervision", "self")
    assert ended.code == 3
    assert "shards" in ended.message
    assert "hifihr prepare" in ended.message
    assert not Path("runs").exists()


def test_a_run_folder_is_not_overwritten(run_cli, here):
    folder = here / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("")
    ended = run_cli("pretrain", "--data", "synth", "--out", folder, *SMALL)
    assert ended.code == 2
    assert "already holds a run; continue it with --resume" in ended.message
    assert ended.err.count("\n") == 1  # no hint to watch a run that has not begun


def test_resuming_needs_a_run(run_cli, here):
    assert "needs the run's folder; name it with --out" in run_cli("train", "--resume").message
    ended = run_cli("train", "--resume", "--out", here / "nothing", "--data", "synth")
    assert ended.code == 2
    assert "no run to resume" in ended.message


def test_a_wrong_setting_is_corrected(run_cli, here):
    ended = run_cli("train", "--set", "train.lrr=1")
    assert ended.code == 2
    assert "did you mean train.lr?" in ended.message
    ended = run_cli("train", "--supervision", "strong")
    assert ended.code == 2


def test_print_config_prints_what_the_layers_make(run_cli, here):
    ended = run_cli("train", "--supervision", "weak", "--paper", "--set", "train.lr=0.5", "--print-config")
    assert ended.code == 0
    for line in ('supervision = "weak"', "lr = 0.5", 'shading = "phong"', "supersample = 3", 'root = "given"'):
        assert line in ended.out
    assert "enabled = false" in run_cli("pretrain", "--print-config").out


def test_help_does_not_load_torch(run_fresh):
    code = "import sys; from hifihr_cli import train, pretrain; sys.exit('torch' in sys.modules)"
    assert run_fresh("-c", code).code == 0
    assert run_fresh("-m", "hifihr_cli", "train", "--help").code == 0
