import json

import pytest


def test_a_raw_tree_is_written(tmp_path, monkeypatch, run_cli):
    written = []
    monkeypatch.setattr(
        "hifihr_core.sources.written.layouts.write_raw_tree",
        lambda layout, request, on_progress: written.append((layout, request)),
    )
    arguments = ["prepare", "synth", "--as", "ho3d-v3", "--count", "30", "--seed", "4", "--hand", "anny", "--json"]
    ended = run_cli(*arguments, "--out", str(tmp_path / "x"))
    assert ended.code == 0
    assert json.loads(ended.out)["evaluation"] == 3
    ((layout, request),) = written
    assert layout == "ho3d-v3"
    assert (request.count, request.seed, request.hand) == (30, 4, "anny")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["freihand", "--seed", "3"], "--seed belongs to `synth`"),
        (["rhd", "--backgrounds", "x"], "--backgrounds belongs to `synth`"),
        (["synth", "--as", "rhd"], "known layouts: freihand"),
        (["freihand", "--as", "freihand"], "--as belongs to `synth`"),
        (["synth", "--keypoints", "k.json"], "--keypoints belongs to `images`"),
    ],
)
def test_options_of_another_source_are_refused(arguments, message, run_cli):
    ended = run_cli("prepare", *arguments)
    assert ended.code == 2
    assert message in ended.err
