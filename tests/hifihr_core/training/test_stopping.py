"""Interruptions and run folders: what Ctrl-C, SIGTERM and SIGKILL leave behind, and who may write to a folder."""

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.folder_lock import lock_folder
from hifihr_core.training import loop
from hifihr_core.training.loop import fit
from hifihr_core.training.run_progress import Clock
from hifihr_core.training.state import Position


def newest(folder):
    return load_file(folder / "checkpoints" / "newest.safetensors")


def same(first, second):
    a, b = newest(first), newest(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def settings(settings_for, shards):
    return settings_for(shards, "train.schedule=constant", "train.ema=0.9", "train.save_every_steps=0")


@pytest.fixture
def send_at(monkeypatch):
    """Return ``send_at("train_step", 2, SIGINT)``: signal this process as the n-th call begins."""

    def send(name, call, *numbers):
        calls, real = [], getattr(loop, name)

        def wrapped(*arguments, **options):
            calls.append(name)
            if len(calls) == call:
                for number in numbers:
                    os.kill(os.getpid(), number)
            return real(*arguments, **options)

        monkeypatch.setattr(loop, name, wrapped)

    return send


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("where", "call"), [("train_step", 2), ("validate", 1), ("save_state", 1)])
def test_a_stopped_run_resumes_to_the_same_bits(number, where, call, settings, send_at, tmp_path):
    fit(settings, tmp_path / "whole", device="cpu")
    notes, before = [], signal.getsignal(number)  # a shell ignores SIGINT in its background jobs
    with pytest.MonkeyPatch.context():
        send_at(where, call, number)
        with pytest.raises(KeyboardInterrupt):
            fit(settings, tmp_path / "cut", device="cpu", on_note=notes.append)
    assert any("continue with --resume --out" in note for note in notes)
    assert signal.getsignal(number) is before
    fit(settings, tmp_path / "cut", resume=True, device="cpu")
    assert same(tmp_path / "whole", tmp_path / "cut")
    scores = [[row for row in read_rows(tmp_path / name) if row["kind"] == "validation"] for name in ("whole", "cut")]
    assert scores[0] == scores[1]


def read_rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_second_signal_leaves_at_once_and_saves_nothing(settings, send_at, tmp_path):
    send_at("train_step", 2, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(settings, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_second_training_is_refused(settings, tmp_path):
    with (
        lock_folder(tmp_path / "run", what="another training run"),
        pytest.raises(ConfigError, match="another training run is using it"),
    ):
        fit(settings, tmp_path / "run", device="cpu")


def test_files_left_by_a_killed_training_are_removed(settings, tmp_path):
    fit(settings, tmp_path / "run", device="cpu")
    folder = tmp_path / "run" / "checkpoints"
    left = [folder / ".state-ab_12c.safetensors", folder / ".newest-x1.safetensors", folder / ".tmpA1b2"]
    left += [tmp_path / "run" / ".metrics-q.jsonl"]
    foreign = [folder / ".mine", tmp_path / "run" / "notes.txt"]
    for path in (*left, *foreign):
        path.write_text("x")
    fit(settings, tmp_path / "run", resume=True, device="cpu")
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in foreign)


def test_every_start_of_a_run_is_recorded(settings, tmp_path, monkeypatch):
    for number in range(2):
        monkeypatch.setattr("sys.argv", ["hifihr", "train", f"--number={number}"])
        fit(settings, tmp_path / "run", resume=number > 0, device="cpu")
    lives = json.loads((tmp_path / "run" / "env.json").read_text())["lives"]
    assert [life["arguments"] for life in lives] == [["train", "--number=0"], ["train", "--number=1"]]
    assert lives[0]["started_from"] == "backbone weights: none, random weights"


def test_a_run_that_cannot_start_leaves_no_folder(settings, tmp_path):
    broken = settings.model_copy(update={"data": settings.data.model_copy(update={"proportions": (1.0, 2.0)})})
    with pytest.raises(ConfigError, match=r"data\.proportions: its length is 2, expected that of data\.train, 1"):
        fit(broken, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_every_step_and_every_wait_is_reported(settings, tmp_path):
    seen = []
    fit(settings, tmp_path / "run", device="cpu", on_progress=seen.append)
    assert [progress.step for progress in seen if progress.doing == "training"] == [1, 2, 3]
    assert [progress.doing for progress in seen][:2] == ["preparing data and network", "waiting for the first batch"]
    assert "validating" in {progress.doing for progress in seen}
    assert all(0 <= progress.done <= 1 for progress in seen)


def test_a_run_that_takes_days_is_announced_once():
    position = Position()
    clock = Clock(position, batch_size=4)
    position.step, position.elapsed_s = 7, 3600.0
    assert clock.warning(position, done=0.001, done_at_start=0.0) is None  # too early to judge
    position.step = 8
    assert "the run takes another 41.6 days" in clock.warning(position, done=0.001, done_at_start=0.0)
    assert clock.warning(position, done=0.001, done_at_start=0.0) is None
    assert Clock(Position(), 4).warning(Position(step=8, elapsed_s=60.0), done=0.5, done_at_start=0.0) is None


@pytest.fixture
def damage(settings, tmp_path):
    """Return ``damage(facts={...}, tensors={...})``: resume from a state in which these entries are changed."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    fit(settings, tmp_path / "run", device="cpu")
    path = tmp_path / "run" / "checkpoints" / "state.safetensors"
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
    whole = load_file(path)

    def resume(change=lambda tensors: tensors, **changed):
        save_file(change(dict(whole)), path, metadata={**facts, **changed})
        return fit(settings, tmp_path / "run", resume=True, device="cpu")

    return resume


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        ("", "not valid JSON"),
        ("[1]", "its position is damaged"),
        ('{"step": 1}', "its position is damaged"),
        ('{"step": "two", "epoch": 0, "start": 0}', "its step is two, expected a whole number"),
        ('{"step": 1, "epoch": 0.5, "start": 0}', "its epoch is 0.5"),
        ('{"step": true, "epoch": 0, "start": 0}', "its step is True"),
        ('{"step": 1, "epoch": 0, "start": 0, "elapsed_s": NaN}', "its elapsed_s is nan"),
        ('{"step": 1, "epoch": 0, "start": 0, "best": "low"}', "its best is low"),
        ('{"step": 1, "epoch": 0, "start": 0, "height": 3}', "its position is damaged"),
        ("[" * 50_000, "deep"),
    ],
)
def test_a_damaged_position_is_named(damage, position, reason):
    with pytest.raises(AssetError, match=reason):
        damage(position=position)


def test_damaged_tensors_of_a_state_are_named(damage):
    first = "optimizer/exp_avg/trunk.0.weight"
    with pytest.raises(AssetError, match=r"optimiser moments of trunk\.0\.weight are missing"):
        damage(lambda tensors: {name: value for name, value in tensors.items() if name != first})
    with pytest.raises(AssetError, match="optimiser moments are missing"):
        damage(
            lambda tensors: (
                {name: v for name, v in tensors.items() if not name.endswith("/trunk.0.weight")}
                | {name: tensors[name] for name in ("network/trunk.0.weight", "average/trunk.0.weight")}
            )
        )
    with pytest.raises(
        AssetError, match=r"the optimiser's exp_avg of trunk\.0\.weight is unknown, not finite or of the wrong size"
    ):
        damage(lambda tensors: tensors | {first: tensors[first] * float("nan")})
    with pytest.raises(AssetError, match=r"tensor trunk\.0\.weight contains NaN"):
        damage(lambda tensors: tensors | {"network/trunk.0.weight": tensors["network/trunk.0.weight"] / 0})
    assert damage().steps == 3
