"""Where runs start if nothing is specified about their network."""

import os

import pytest
import torch

from hifihr_core.config import load_settings
from hifihr_core.config.tree import ModelSettings, RunSettings
from hifihr_core.hands import load_hand
from hifihr_core.models.checkpoint import BEST, NEWEST, describe_weights, save_weights
from hifihr_core.models.shipped import IMAGE_NETWORK, shipped_model
from hifihr_core.models.table import build_network
from hifihr_core.training.bare_start import FINE_TUNING_LR, find_bare_start, newest_pretraining
from hifihr_core.training.optimizer import set_training


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a small weight file of the free hand."""
    settings = RunSettings(model=ModelSettings(hand="anny", backbone="mobilenetv3_small_050", texture=False))
    hand = load_hand("anny")
    network = build_network(settings.model, hand, image_px=64, weights="none")
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, network.state_dict(), describe_weights(settings, hand, step=1))
    return path.read_bytes()


@pytest.fixture
def write_run(tmp_path, weights):
    """Return ``write("pretrain-2", BEST, at=3)``: a weight file in a run folder, with a modification time."""

    def write(name, which=NEWEST, at=1.0):
        path = tmp_path / name / which
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(weights)
        os.utime(path, (at, at))
        return path

    return write


def test_the_shipped_network_is_where_a_bare_run_starts(tmp_path):
    start = find_bare_start(RunSettings(), (), runs=tmp_path)
    assert start.init == shipped_model(IMAGE_NETWORK)
    settings = load_settings(RunSettings, layers=[start.keeps], start=start.layer)
    assert (settings.model.geometry, settings.model.backbone) == ("keypoints", "mobilenetv4_conv_small")
    assert (settings.model.hand, settings.data.image_px, settings.train.lr) == ("anny", 96, FINE_TUNING_LR)
    assert settings.train.freeze_statistics
    assert settings.loss.priors == "mean"
    said = load_settings(RunSettings, overrides=["train.lr=0.5"], layers=[start.keeps], start=start.layer)
    assert said.train.lr == 0.5


@pytest.mark.parametrize("level", ["weak", "self"])
def test_without_labels_in_space_priors_pull_to_the_start(level, tmp_path):
    wanted = load_settings(RunSettings, overrides=[f"train.supervision={level}"])
    start = find_bare_start(wanted, (), runs=tmp_path)
    settings = load_settings(RunSettings, layers=[start.keeps], start=start.layer)
    assert settings.loss.priors == "start"


@pytest.mark.parametrize("name", ["model.backbone", "model.weights", "model.geometry", "data.image_px"])
def test_settings_about_the_network_count(name, tmp_path):
    assert find_bare_start(RunSettings(), {name}, runs=tmp_path) is None
    assert find_bare_start(RunSettings(), {"train.lr", "model.hand"}, runs=tmp_path) is not None


def test_the_newest_pretraining_comes_before_the_shipped_network(write_run, tmp_path):
    write_run("pretrain-1", NEWEST, at=5)
    newer = write_run("pretrain-2", BEST, at=8)
    write_run("pretrain-2", NEWEST, at=9)
    write_run("train-full-1", NEWEST, at=99)
    assert newest_pretraining(tmp_path, "anny") == newer
    start = find_bare_start(RunSettings(), (), runs=tmp_path)
    assert start.init == newer
    assert dict(start.layer.values)["model.backbone"] == "mobilenetv3_small_050"
    assert find_bare_start(RunSettings(), (), runs=tmp_path, pretraining=True).init == shipped_model(IMAGE_NETWORK)


def test_pretrainings_that_do_not_fit_are_passed_over(write_run, tmp_path):
    write_run("pretrain-1").write_bytes(b"damaged")
    assert newest_pretraining(tmp_path, "anny") is None
    write_run("pretrain-2")
    assert newest_pretraining(tmp_path, "mano") is None


def test_another_hand_takes_the_body_with_new_heads(tmp_path):
    start = find_bare_start(RunSettings(model=ModelSettings(hand="mano")), (), runs=tmp_path)
    assert start.init is None
    settings = load_settings(RunSettings, flags={"model.hand": "mano"}, layers=[start.keeps], start=start.layer)
    assert (settings.model.weights, settings.model.geometry, settings.model.hand) == ("shipped", "keypoints", "mano")
    assert "starting from the backbone of the shipped network, with new heads for the hand mano;" in start.note


def test_a_pretraining_carries_the_heads_along_that_it_does_not_train(tmp_path):
    from hifihr_core.config import PRETRAINING

    start = find_bare_start(RunSettings(), (), runs=tmp_path, pretraining=True)
    settings = load_settings(RunSettings, layers=[PRETRAINING, start.keeps], start=start.layer)
    assert settings.model.texture
    assert not settings.render.enabled


@pytest.mark.parametrize("frozen", [True, False])
def test_statistics_of_a_trained_network_are_kept_only_where_asked(frozen):
    settings = RunSettings(model=ModelSettings(hand="anny", backbone="mobilenetv3_small_050", texture=False))
    network = build_network(settings.model, load_hand("anny"), image_px=64, weights="none")
    before = {name: value.clone() for name, value in network.named_buffers() if "running" in name}
    set_training(network, "all", freeze_statistics=frozen)
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    K = torch.tensor([[64.0, 0, 32], [0, 64, 32], [0, 0, 1]]).repeat(2, 1, 1)
    network(image, K)
    changed = [
        name for name, value in network.named_buffers() if name in before and not torch.equal(value, before[name])
    ]
    assert network.training
    assert bool(changed) is not frozen
