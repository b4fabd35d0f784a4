import json
from contextlib import suppress

import pytest

from hifihr_core.errors import DataError
from hifihr_core.sources.written.layouts import json_lists, refuse_taken


def test_a_raw_dataset_is_written(tmp_path, monkeypatch, run_cli):
    written = []
    monkeypatch.setattr(
        "hifihr_core.sources.written.layouts.write_raw_tree",
        lambda layout, request, **_: written.append((layout, request)),
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
        (["freihand", "--seed", "3"], "--seed is an option of `synth`"),
        (["rhd", "--backgrounds", "x"], "--backgrounds is an option of `synth`"),
        (["synth", "--as", "rhd"], "--as: unknown layout 'rhd', expected one of freihand"),
        (["freihand", "--as", "freihand"], "--as is an option of `synth`"),
        (["synth", "--keypoints", "k.json"], "--keypoints is an option of `images`"),
        (["rhd", "--light", "lamp"], "--light is an option of `synth`"),
        (["synth", "--light", "sun"], "--light: unknown light 'sun', expected one of lamp, environment"),
        (["synth", "--light", "lamp", "--environments", "maps"], "--environments cannot be used with --light lamp"),
        (["synth", "--each", 3], "--each 3: expected a divisor of 16"),
        (["synth", "--as", "freihand", "--light", "environment"], "--light is for shards"),
    ],
)
def test_options_of_another_source_are_refused(arguments, message, run_cli):
    ended = run_cli("prepare", *arguments)
    assert ended.code == 2
    assert message in ended.err


def test_light_and_people_are_chosen_on_the_command_line(tmp_path, run_cli):
    from hifihr_core.shards.folder import ShardSet

    words = ("--count", 2, "--each", 2, "--light", "environment", "--workers", 0)
    assert run_cli("prepare", "synth", *words, "--out", tmp_path / "x").code == 0
    shards = ShardSet(tmp_path / "x" / "train")
    sky, shape = shards.column("sky")[0], shards.column("shape")[0]
    assert sky.shape == (2, 8, 3)
    assert (sky != 0).any(axis=(1, 2)).all()
    assert (shape[0] == shape[1]).all()


def test_a_dry_run_of_a_raw_dataset_touches_nothing(tmp_path, run_cli):
    ended = run_cli("prepare", "synth", "--as", "freihand", "--count", 30, "--dry-run", "--out", tmp_path / "x")
    assert ended.code == 0
    assert "would contain 30 training and 3 evaluation poses of anny" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_a_raw_dataset_is_replaced_only_on_request(tmp_path, run_cli):
    words = ("prepare", "synth", "--as", "freihand", "--hand", "anny", "--evaluation", 0, "--out", tmp_path)
    assert run_cli(*words, "--count", 2).code == 0
    before = sorted((tmp_path / "training/rgb").iterdir())
    (tmp_path / "mine.txt").write_text("mine")
    for more in ((), ("--dry-run",)):
        ended = run_cli(*words, "--count", 1, *more)
        assert (ended.code, "choose another --out, or use --overwrite" in ended.message) == (3, True)
        assert sorted((tmp_path / "training/rgb").iterdir()) == before
    assert run_cli(*words, "--count", 1, "--overwrite").code == 0
    assert len(list((tmp_path / "training/rgb").iterdir())) == 4
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_files_of_the_operating_system_are_no_reason_to_refuse_a_folder_for_a_raw_dataset(tmp_path):
    (tmp_path / ".DS_Store").write_text("")
    refuse_taken(tmp_path, overwrite=False)
    (tmp_path / "hifihr_synthetic.json").write_text("null")
    with pytest.raises(DataError, match="already contains a synthetic dataset"):
        refuse_taken(tmp_path, overwrite=False)
    (tmp_path / "hifihr_synthetic.json").rename(tmp_path / "mine.json")
    with pytest.raises(DataError, match="neither empty nor a synthetic dataset"):
        refuse_taken(tmp_path, overwrite=False)


def test_an_unfinished_raw_dataset_is_rewritten(tmp_path, run_cli):
    words = ("prepare", "synth", "--as", "freihand", "--hand", "anny", "--evaluation", 0, "--out", tmp_path)
    assert run_cli(*words, "--count", 1).code == 0
    marker = tmp_path / "hifihr_synthetic.json"
    whole = marker.read_text()
    marker.write_text(json.dumps({**json.loads(whole), "unfinished": True}))
    left = [tmp_path / name for name in (".training_xyz-killed.json", ".train-killed.txt")]
    for path in left:
        path.write_text("[")
    ended = run_cli("prepare", "freihand", "--root", tmp_path, "--check")
    assert (ended.code, "an unfinished dataset; run `hifihr prepare synth --as" in ended.message) == (3, True)
    assert run_cli(*words, "--count", 1).code == 0
    assert marker.read_text() == whole
    assert not any(path.exists() for path in left)


def test_lists_of_a_raw_dataset_appear_at_its_end_or_not_at_all(tmp_path):
    with suppress(KeyboardInterrupt), json_lists(tmp_path, ("training_xyz", "training_K")) as lists:
        lists["training_xyz"].append([1])
        assert [path.suffix for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with json_lists(tmp_path, ("training_xyz", "training_K")) as lists:
        lists["training_xyz"].append([1])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "training_xyz.json": "[[1]]",
        "training_K.json": "[]",
    }


@pytest.mark.parametrize("option", ["--count", "--evaluation", "--workers"])
def test_a_count_beyond_any_machine_is_refused_instead_of_planned(tmp_path, run_cli, option):
    ended = run_cli("prepare", "synth", option, "9" * 25, "--dry-run", "--out", tmp_path)
    assert (ended.code, option in ended.message) == (2, True)


def test_parts_are_prepared_and_merged_from_the_command_line(tmp_path, run_cli):
    words = ("prepare", "synth", "--count", 2, "--hand", "anny", "--workers", 0, "--out")
    assert run_cli(*words, tmp_path / "whole").code == 0
    (tmp_path / "parts").mkdir()
    ended = run_cli("shards", "merge", tmp_path / "parts")
    assert (ended.code, "contains no parts" in ended.message) == (3, True)
    for part in ("2/2", "1/2"):
        assert run_cli(*words, tmp_path / "parts", "--part", part).code == 0
    assert run_cli("shards", "merge", tmp_path / "parts").code == 0
    names = ("index.json", "train-00000.h5")
    for name in names:
        assert (tmp_path / "parts/train" / name).read_bytes() == (tmp_path / "whole/train" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "parts/train").iterdir()) == sorted(names)
    assert run_cli(*words, tmp_path / "x", "--part", "two").code == 2
    assert run_cli(*words, tmp_path / "x", "--part", "3/2").code == 2
