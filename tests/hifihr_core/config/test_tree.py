"""The settings tree and the presets: every file loads, is complete for its row, and survives a round trip."""

import json
from pathlib import Path

import pytest

from hifihr_core.config import dump_toml, find_config, load_settings, presets
from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import ConfigError
from hifihr_core.losses.supervision import CAPABILITIES, LEVELS, plan_terms
from hifihr_core.losses.terms import TERMS

PRESETS = list(presets().values())


def beyond(settings):
    """Return the capabilities that a run with these settings cannot have."""
    lacking = set() if settings.render.enabled else {"render", "region", "perceptual"}
    lacking |= {"start"} if settings.loss.priors == "mean" else set()
    return lacking if settings.model.geometry == "keypoints" else lacking | {"keypoints"}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_makes_a_plan(path):
    settings = load_settings(RunSettings, file=path)
    offered = frozenset(CAPABILITIES) - beyond(settings)
    plan = plan_terms(settings.train.supervision, offered, weights=settings.loss.weights)
    assert plan.terms
    assert all(plan.weights_at(epoch).keys() == plan.terms.keys() for epoch in (0, settings.train.epochs))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_paper_preset_sets_every_weight_of_its_row(path):
    """The weights in a file do not change with our table."""
    settings = load_settings(RunSettings, file=path)
    if settings.train.optimizer == "adam":
        left_out = {name for name, row in TERMS.items() if row.requires & beyond(settings)}
        assert set(LEVELS[settings.train.supervision].weights) - left_out <= settings.loss.weights.keys()


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_survives_both_round_trips(path, tmp_path):
    settings = load_settings(RunSettings, file=path)
    (tmp_path / "again.toml").write_text(dump_toml(settings))
    assert load_settings(RunSettings, file=tmp_path / "again.toml") == settings
    assert RunSettings.model_validate(json.loads(settings.model_dump_json())) == settings


def test_there_is_a_preset_for_every_row_of_the_paper():
    names = {path.stem for path in PRESETS}
    assert names >= {f"{data}_{level}" for data in ("freihand", "ho3d") for level in LEVELS}
    assert names >= {f"freihand_{level}_no_texture" for level in LEVELS}
    assert names >= {"pretrain_rhd", "pretrain_dart", "pretrain_synth", "freihand_weak_texture_only"}


def test_a_preset_is_found_by_its_name_and_a_file_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("freihand_full") == find_config("freihand_full.toml") == presets()["freihand_full"]
    (tmp_path / "freihand_full").write_text("")
    assert find_config("freihand_full") == Path("freihand_full")
    with pytest.raises(
        ConfigError, match=r"no such file and no such preset, expected one of .*; did you mean freihand_weak\?"
    ):
        find_config("freihand_weka")
    with pytest.raises(ConfigError, match="expected one of freihand_full, "):
        find_config("folder/none.toml")


@pytest.mark.parametrize("value", ["-1", "[[0]]", "[[0, 1, 2]]", "x"])
def test_a_wrong_weight_is_reported_under_the_name_of_its_setting(value):
    with pytest.raises(ConfigError) as caught:
        load_settings(RunSettings, overrides=[f"loss.weights.iou={value}"])
    shown = f'"{value}"' if value == "x" else value
    assert str(caught.value) == (
        f"--set loss.weights.iou={value}: loss.weights.iou: found {shown}, expected a number of at least 0, or steps "
        "[[epoch, weight], ...]"
    )
