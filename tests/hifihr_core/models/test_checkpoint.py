"""Weight files: their content, their size, and what they reject."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from hifihr_core.config.tree import ModelSettings, RunSettings
from hifihr_core.errors import AssetError
from hifihr_core.hands import load_hand
from hifihr_core.models.checkpoint import (
    BEST,
    NEWEST,
    describe_weights,
    find_checkpoint,
    load_checkpoint,
    save_weights,
)
from hifihr_core.models.table import build_network
from hifihr_core.prediction.load_models import load_models
from hifihr_core.training.network import load_start
from hifihr_core.weight_files import read_facts


@pytest.fixture(scope="module")
def settings():
    return RunSettings(model=ModelSettings(hand="anny", backbone="mobilenetv3_small_050", weights="none"))


@pytest.fixture
def saved(settings, tmp_path):
    hand = load_hand("anny")
    torch.manual_seed(0)
    network = build_network(settings.model, hand, image_px=64, weights="none").eval()
    path = tmp_path / "weights.safetensors"
    save_weights(path, network.state_dict(), describe_weights(settings, hand, step=7))
    return path, network


def test_a_network_comes_back_as_it_was(saved):
    path, network = saved
    checkpoint = load_checkpoint(path)
    assert checkpoint.step == 7
    assert checkpoint.hand.name == "anny"
    assert not checkpoint.network.training
    state = checkpoint.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_half_precision_keeps_variances_that_16_bits_cannot_hold(saved, tmp_path):
    path, network = saved
    state = {name: value.clone() for name, value in network.state_dict().items()}
    [name, *_] = [name for name in state if name.endswith("running_var")]
    state[name].fill_(2e5)
    save_weights(tmp_path / "half.safetensors", state, read_facts(path), half=True)
    assert torch.equal(load_checkpoint(tmp_path / "half.safetensors").network.state_dict()[name], state[name])


def test_half_precision_leaves_whole_numbers(saved, tmp_path):
    path, _ = saved
    state = {"faces": torch.tensor([[0, 2049, 70_000]]), "seen": torch.tensor([[True, False]]), "W": torch.ones(1, 2)}
    save_weights(tmp_path / "half.safetensors", state, read_facts(path), half=True)
    stored = load_file(tmp_path / "half.safetensors")
    assert stored["W"].dtype == torch.float16
    for name in ("faces", "seen"):
        assert stored[name].dtype == state[name].dtype
        assert torch.equal(stored[name], state[name])


def test_half_precision_is_half_the_size_and_loads_as_float(saved, settings, tmp_path):
    path, network = saved
    half = tmp_path / "half.safetensors"
    save_weights(half, network.state_dict(), read_facts(path), half=True)
    assert half.stat().st_size < 0.52 * path.stat().st_size
    checkpoint = load_checkpoint(half)
    first = next(checkpoint.network.parameters())
    assert first.dtype == torch.float32
    assert torch.allclose(first, next(network.parameters()), atol=1e-2)


def test_foreign_and_broken_files_are_named(saved, tmp_path):
    path, network = saved
    with pytest.raises(AssetError, match="no such file, expected a weight file"):
        load_checkpoint(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(AssetError, match="file from another program, expected hifihr-weights"):
        load_checkpoint(tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(AssetError, match="not a complete safetensors file"):
        load_checkpoint(tmp_path / "cut.safetensors")
    newer = tmp_path / "newer.safetensors"
    save_weights(newer, network.state_dict(), {**read_facts(path), "format_version": "2"})
    with pytest.raises(AssetError, match="hifihr-weights version 2, expected 1"):
        load_checkpoint(newer)


def test_weights_that_do_not_fit_their_settings_are_refused(saved, settings, tmp_path):
    path, network = saved
    facts = read_facts(path)
    settings_now = json.loads(facts["settings"])
    settings_now["model"]["backbone"] = "mobilenetv3_small_075"
    save_weights(tmp_path / "odd.safetensors", network.state_dict(), {**facts, "settings": json.dumps(settings_now)})
    with pytest.raises(AssetError, match="does not fit the network described by the file's settings"):
        load_checkpoint(tmp_path / "odd.safetensors")


def test_a_run_folder_is_as_good_as_its_best_weights(saved, tmp_path):
    path, _ = saved
    run = tmp_path / "run"
    for name in (NEWEST, BEST):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(path.read_bytes())
        assert find_checkpoint(run) == run / name
        assert load_checkpoint(run).step == 7
    assert find_checkpoint(run / "checkpoints") == run / "checkpoints" / "best.safetensors"
    assert load_models(run, device=torch.device("cpu")).network is not None


def test_a_run_starts_from_a_run_folder(saved, tmp_path):
    path, network = saved
    (tmp_path / "run" / BEST).parent.mkdir(parents=True)
    (tmp_path / "run" / BEST).write_bytes(path.read_bytes())
    fresh = build_network(load_checkpoint(path).settings.model, load_hand("anny"), image_px=64)
    assert str(BEST) in load_start(fresh, load_hand("anny"), tmp_path / "run")
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in network.state_dict().items())
