"""The settings tree and the presets: every file loads, is complete for its row, and survives a round trip."""

import json
from pathlib import Path

import pytest

from hifihr_core.config import dump_toml, load_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.losses.registry import TERMS
from hifihr_core.losses.supervision import CAPABILITIES, LEVELS, plan_terms

PRESETS = sorted((Path(__file__).parents[3] / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_makes_a_plan(path):
    settings = load_settings(RunSettings, file=path)
    offered = frozenset(CAPABILITIES) - (set() if settings.render.enabled else {"render", "region", "perceptual"})
    plan = plan_terms(settings.train.supervision, offered, weights=settings.loss.weights)
    assert plan.terms
    assert all(plan.weights_at(epoch).keys() == plan.terms.keys() for epoch in (0, settings.train.epochs))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_paper_preset_says_every_weight_of_its_row(path):
    """What a file weighs does not change with our own table."""
    settings = load_settings(RunSettings, file=path)
    if settings.train.optimizer == "adam":
        rendered = {name for name, row in TERMS.items() if row.requires & {"render", "region"}}
        of_level = set(LEVELS[settings.train.supervision].weights)
        expected = of_level if settings.render.enabled else of_level - rendered
        assert expected <= settings.loss.weights.keys()


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
