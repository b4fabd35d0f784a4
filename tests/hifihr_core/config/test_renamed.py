"""Settings of earlier versions: renamed, or dropped if they no longer exist."""

import json
from types import MappingProxyType

import pytest

from hifihr_core.config import PAPER, PRETRAINING, load_settings, renamed
from hifihr_core.config.named_layers import Layer
from hifihr_core.config.renamed import read_settings, renew
from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import ConfigError


def test_settings_that_are_gone_are_dropped():
    tree = {"model": {"drop_path": 0.1, "backbone": "resnet18"}, "train": {"channels_last": False}}
    assert renew(tree) == {"model": {"backbone": "resnet18"}, "train": {}}
    assert tree["model"]["drop_path"] == 0.1  # the argument stays


def test_renamed_settings_move(monkeypatch, tmp_path):
    monkeypatch.setattr(renamed, "RENAMED", MappingProxyType({"train.rate": "train.lr", "old.size": "data.image_px"}))
    assert renew({"train": {"rate": 0.5}}) == {"train": {"lr": 0.5}}
    assert renew({"train": {"rate": 0.5, "lr": 0.1}}) == {"train": {"lr": 0.1}}
    saved = json.loads(RunSettings().model_dump_json())
    saved["train"]["rate"] = saved["train"].pop("lr")
    assert read_settings(json.dumps(saved)) == RunSettings()
    (tmp_path / "old.toml").write_text("[train]\nrate = 0.25\n")
    assert load_settings(RunSettings, file=tmp_path / "old.toml").train.lr == 0.25
    assert load_settings(RunSettings, overrides=["train.rate=0.5"]).train.lr == 0.5


def test_every_renamed_setting_is_gone_from_the_tree():
    names = set(renamed.RENAMED) | {new for new in renamed.RENAMED.values() if new}
    tree = json.loads(RunSettings().model_dump_json())
    for name in names:
        section, _, last = name.rpartition(".")
        assert (last in tree[section]) == (name not in renamed.RENAMED)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", r"found '\[\]', expected an object"),
        ('{"model": 3}', "model: "),
        ('{"train": {"lr": "fast"}}', "train.lr: found 'fast', expected a valid number"),
        ('{"train": {"speed": 1}}', "train.speed: unknown setting"),
        (f'{{"train": {{"seed": {"9" * 6000}}}}}', "6,000 digits"),
    ],
)
def test_damaged_settings_are_refused_in_one_line(text, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        read_settings(text)
    assert "\n" not in str(caught.value)


def test_layers_serve_python_and_the_command_line():
    settings = load_settings(RunSettings, layers=[PAPER, PRETRAINING], flags={"train.seed": 5})
    assert (settings.render.shading, settings.render.enabled, settings.model.texture) == ("phong", False, False)
    assert settings.train.seed == 5
    assert load_settings(RunSettings, layers=[PAPER], flags={"render.shading": "smooth"}).render.shading == "smooth"
    with pytest.raises(ConfigError, match=r"toy: unknown setting train.lrr; did you mean train.lr"):
        load_settings(RunSettings, layers=[Layer("toy", {"train.lrr": 1})])
