"""Weight files with damaged metadata or numbers: each is rejected in one line that names the problem."""

import json

import numpy as np
import pytest
import torch

from hifihr_core.config.tree import ModelSettings, RunSettings
from hifihr_core.errors import AssetError
from hifihr_core.hands import load_hand
from hifihr_core.models.checkpoint import describe_weights, load_checkpoint, save_weights
from hifihr_core.models.table import build_network


@pytest.fixture(scope="module")
def whole():
    """Return (state, facts) of a small network."""
    settings = RunSettings(model=ModelSettings(hand="anny", backbone="mobilenetv3_small_050", weights="none"))
    hand = load_hand("anny", texture_px=64)
    network = build_network(settings.model, hand, image_px=64)
    return network.state_dict(), describe_weights(settings, hand, step=3)


@pytest.fixture
def load(whole, tmp_path):
    """Return ``load(facts={...}, state={...})``: load a file in which these entries are changed."""

    def run(facts=None, state=None):
        changed = {name: value for name, value in (whole[1] | (facts or {})).items() if value is not None}
        save_weights(tmp_path / "w.safetensors", whole[0] | (state or {}), changed)
        return load_checkpoint(tmp_path / "w.safetensors")

    return run


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"step": "three"}, "its step is 'three', expected a whole number"),
        ({"step": "9" * 30}, "expected a whole number"),
        ({"step": None}, "lacks 'step'"),
        ({"hand": "glove"}, "found 'glove', expected one of anny"),
        ({"hand": "../../etc"}, "expected a name"),
        ({"hand": ""}, "expected a name"),
        ({"pose_basis": "quaternions"}, "pose basis 'quaternions'"),
        ({"joints": "smplx"}, "smplx"),
        ({"hand_options": "{"}, "hand_options"),
        ({"hand_options": "[1]"}, "expected a JSON object"),
        ({"hand_options": '{"size": 3}'}, "no option size"),
        ({"hand_options": '{"texture_px": "big"}'}, "texture_px is not a whole number"),
        ({"hand_options": "[" * 50_000}, "deep"),
        ({"settings": "[" * 50_000}, "deep"),
        ({"settings": "{}x"}, "settings"),
        ({"settings": '{"model": {"backbone": "resnet19"}}'}, "resnet19"),
        ({"settings": '{"model": {"geometry": "cloud"}}'}, "found 'cloud', expected one of pooled, keypoints"),
        ({"settings": '{"data": {"image_px": 99999999}}'}, "data.image_px"),
        ({"settings": '{"model": {"colour": 1}}'}, "model.colour: unknown setting"),
    ],
)
def test_damaged_metadata_is_named(load, facts, reason):
    with pytest.raises(AssetError, match=reason.replace("[", r"\[")) as caught:
        load(facts)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(load, whole, bad):
    name = "trunk.0.weight"
    value = whole[0][name].clone()
    value[0, 0] = bad
    with pytest.raises(AssetError, match=r"tensor trunk\.0\.weight contains NaN or infinity"):
        load(state={name: value})


def test_tensors_of_another_kind_are_refused(load, whole):
    with pytest.raises(AssetError, match=r"trunk\.0\.bias does not fit"):
        load(state={"trunk.0.bias": torch.zeros_like(whole[0]["trunk.0.bias"], dtype=torch.int64)})
    with pytest.raises(AssetError, match="extra does not fit"):
        load(state={"extra": torch.zeros(1)})


def test_random_damage_never_raises_another_error(load, whole, tmp_path):
    load()
    content = (tmp_path / "w.safetensors").read_bytes()
    header = int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, 8 + header, 2):
            damaged[place] = int(rng.integers(32, 127))
        (tmp_path / "w.safetensors").write_bytes(damaged)
        try:
            load_checkpoint(tmp_path / "w.safetensors")
        except AssetError:
            refused += 1
    assert refused > 30


def test_settings_of_a_file_survive_a_round_trip(load, whole):
    assert load().settings == RunSettings.model_validate(json.loads(whole[1]["settings"]))
