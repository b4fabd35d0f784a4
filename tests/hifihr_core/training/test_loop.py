"""Complete runs of a few steps: their files, resuming to the same bits, and what they may read."""

import json

import pytest
import torch
from safetensors.torch import load_file

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.losses.supervision import LEVELS
from hifihr_core.records import LABELS
from hifihr_core.training.loop import fit

ALL_LABELS = frozenset(LABELS) - {"mask"} | {"mask"}


def weights_of(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / "newest.safetensors")


def same(first, second) -> bool:
    a, b = weights_of(first), weights_of(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_settings_metrics_and_weights(settings_for, shards, tmp_path):
    summary = fit(settings_for(shards, "train.pictures_every_steps=2"), tmp_path / "run", device="cpu")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3]
    assert summary.steps == 3
    assert {"loss", "mpjpe_mm", "pa_mpjpe_mm", "psnr_db", "iou"} <= summary.validation.keys()
    for name in ("config.toml", "env.json", "checkpoints/best.safetensors", "samples/step_0000002.png"):
        assert (tmp_path / "run" / name).stat().st_size > 0


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_reads_its_labels_and_no_other(level, settings_for, samples, tree, without, tmp_path):
    """Training without the forbidden labels is the same training, bit for bit."""
    settings = settings_for, f"train.supervision={level}"
    allowed = LEVELS[level].labels
    stripped = without(samples, *(ALL_LABELS - allowed))
    overrides = ("data.validation_part=0", f"train.supervision={level}", "loss.weights.vertices_3d=0")
    folders = {"all": samples, "allowed": stripped}
    for name, kept in folders.items():
        fit(settings[0](tree.write(kept, name), *overrides), tmp_path / name, device="cpu")
    assert same(tmp_path / "all", tmp_path / "allowed")


def test_resuming_gives_the_same_bits(settings_for, shards, tmp_path):
    settings = settings_for(shards, "train.schedule=constant", "train.ema=0.9")
    fit(settings, tmp_path / "whole", device="cpu")
    part = settings.model_copy(update={"train": settings.train.model_copy(update={"max_steps": 1})})
    fit(part, tmp_path / "cut", device="cpu")
    fit(settings, tmp_path / "cut", resume=True, device="cpu")
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_a_missing_label_stops_before_the_first_step(settings_for, samples, tree, without, tmp_path):
    settings = settings_for(tree.write(without(samples, "keypoints_confidence")), "train.supervision=self")
    with pytest.raises(DataError, match="no label keypoints_confidence, which supervision self needs"):
        fit(settings, tmp_path / "run", device="cpu")


def test_another_preset_on_resume_is_refused(settings_for, shards, tmp_path):
    fit(settings_for(shards), tmp_path / "run", device="cpu")
    with pytest.raises(ConfigError, match=r"train\.lr: this run was started with 0\.001, found 0\.5"):
        fit(settings_for(shards, "train.lr=0.5"), tmp_path / "run", resume=True, device="cpu")
    with pytest.raises(ConfigError, match="already holds a run"):
        fit(settings_for(shards), tmp_path / "run", device="cpu")


@pytest.mark.slow
def test_a_few_hands_are_memorised(settings_for, samples, tree, tmp_path):
    """Four samples repeated: joints and picture get close (benchmarks/overfit.py trains longer)."""
    settings = settings_for(
        tree.write(samples[:4]),
        *("data.validation_part=0", "data.augmentation=none", "train.max_steps=40", "train.epochs=40"),
        *("train.schedule=constant", "train.save_every_steps=0", "loss.weights.photometric=1.0"),
    )
    fit(settings, tmp_path / "run", device="cpu")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines if '"train"' in line]
    for name in ("term/joints_3d", "term/photometric"):
        first, last = (sum(row[name] for row in part) / 5 for part in (rows[:5], rows[-5:]))
        assert last < 0.6 * first, name
