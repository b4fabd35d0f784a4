"""Settings: layers in order, and every mistake named with its layer and the nearest valid name."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, PositiveFloat, ValidationError

from hifihr_core.config import Settings, load_settings
from hifihr_core.config.loading import parse_override
from hifihr_core.errors import ConfigError, DataError, HifihrError


class Optimizer(Settings):
    """A section in a section."""

    name: Literal["adam", "sgd"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)


class Train(Settings):
    """A section."""

    lr: PositiveFloat = 1e-3
    epochs: int = 10
    weights: dict[str, float] = Field({"joints": 1.0})
    init: Path | None = None
    optimizer: Optimizer = Optimizer()


class Root(Settings):
    """A small tree."""

    seed: int = Field(0, ge=0)
    amp: bool = False
    train: Train = Train(epochs=20)


def write(path, text):
    path.write_text(text)
    return path


def test_defaults_alone():
    assert load_settings(Root) == Root()


def test_each_layer_lies_over_the_one_before(tmp_path):
    preset = write(tmp_path / "preset.toml", "seed = 1\namp = true\n[train]\nlr = 0.1\nepochs = 1\n")
    file = write(tmp_path / "file.toml", "seed = 2\n[train]\nlr = 0.2\n")
    layers = {"preset": preset, "file": file, "overrides": ["seed=3"], "flags": {"seed": 4, "train.lr": None}}
    for expected, names in enumerate([[], ["preset"], ["file"], ["overrides"], ["flags"]]):
        found = load_settings(Root, **{name: layers[name] for name in list(layers)[:expected] if names})
        assert found.seed == expected
    everything = load_settings(Root, **layers)
    assert (everything.seed, everything.amp, everything.train.lr, everything.train.epochs) == (4, True, 0.2, 1)


def test_a_layer_leaves_the_neighbours_of_what_it_sets(tmp_path):
    file = write(tmp_path / "file.toml", "[train.weights]\nmask = 2\n")
    found = load_settings(Root, file=file, overrides=["train.optimizer.name=sgd"])
    assert found.train.weights == {"joints": 1.0, "mask": 2.0}
    assert found.train.epochs == 20
    assert found.train.optimizer == Optimizer(name="sgd")


def test_lists_are_replaced():
    assert load_settings(Root, overrides=["train.optimizer.betas=[0.5, 0.9]"]).train.optimizer.betas == (0.5, 0.9)


def test_the_tree_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        load_settings(Root).seed = 1


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a=1", {"a": 1}),
        ("a.b.c=1e-4", {"a": {"b": {"c": 1e-4}}}),
        ("a=true", {"a": True}),
        ("a=[1, 'x']", {"a": [1, "x"]}),
        ('a="1"', {"a": "1"}),
        ("a=word", {"a": "word"}),
        ("a=some/path.pt", {"a": "some/path.pt"}),
        ("a=x=y", {"a": "x=y"}),
        ("a=", {"a": ""}),
        (" a.b = 2 ", {"a": {"b": 2}}),
        ("a=1\n[b]\nc=2", {"a": "1\n[b]\nc=2"}),
        ("a={b = 1}", {"a": {"b": 1}}),
    ],
)
def test_overrides_are_toml_or_a_bare_word(text, tree):
    assert parse_override(text) == tree


@pytest.mark.parametrize("text", ["train.lr", "=1", "a..b=1", ".a=1", ""])
def test_an_override_without_name_or_value(text):
    with pytest.raises(ConfigError, match="expected NAME=VALUE"):
        parse_override(text)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("train.lrr=1", ["--set train.lrr=1: unknown setting train.lrr", "did you mean train.lr?"]),
        ("lr=1", ["unknown setting lr", "did you mean train.lr?"]),
        ("optimizer.name=sgd", ["unknown setting optimizer", "did you mean train.optimizer?"]),
        ("train.zzz=1", ["unknown setting train.zzz", "expected one of lr, epochs, weights, init, optimizer"]),
        ("seed=1.5", ["seed: found 1.5", "valid integer"]),
        ("seed=-1", ["seed: found -1", "greater than or equal to 0"]),
        ("seed=true", ["seed: found true", "valid integer"]),
        ("amp=1", ["amp: found 1", "valid boolean"]),
        ("amp=yes", ['amp: found "yes"', "valid boolean"]),
        ("train.lr=fast", ['train.lr: found "fast"', "valid number"]),
        ("train.lr='0.1'", ['train.lr: found "0.1"', "valid number"]),
        ("train=3", ["train: found 3", "expected a section"]),
        ("train.lr.x=3", ["train.lr: found"]),
        ("train.optimizer.name=adan", ['found "adan"', "'adam' or 'sgd'", "did you mean adam?"]),
        ("train.optimizer.betas=[1]", ["train.optimizer.betas: found [1], expected 2 values"]),
        ("train.optimizer.betas=[]", ["train.optimizer.betas: found [], expected 2 values"]),
    ],
)
def test_every_mistake_is_one_line_with_layer_found_and_expected(override, parts):
    with pytest.raises(ConfigError) as caught:
        load_settings(Root, overrides=[override])
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert message.startswith("--set ")
    assert "\n" not in message


def test_a_mistake_names_the_layer_that_made_it(tmp_path):
    preset = write(tmp_path / "preset.toml", "seed = 'x'\n")
    with pytest.raises(ConfigError, match=r"preset\.toml: seed"):
        load_settings(Root, preset=preset)
    with pytest.raises(ConfigError, match=r"option for seed: seed: found -2"):
        load_settings(Root, preset=preset, flags={"seed": -2})
    with pytest.raises(ConfigError, match=r"\(and 1 more error\)"):
        load_settings(Root, preset=preset, overrides=["amp=1"])


def test_flags_may_hold_paths(tmp_path):
    assert load_settings(Root, flags={"train.init": tmp_path}).train.init == tmp_path


def test_broken_toml_names_the_line(tmp_path):
    file = write(tmp_path / "file.toml", "seed = 1\ntrain = ]\n")
    with pytest.raises(ConfigError, match=r"file\.toml: not valid TOML: .*at line 2, .*; correct the file"):
        load_settings(Root, file=file)


def test_a_missing_or_binary_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_settings(Root, file=tmp_path / "none.toml")
    (tmp_path / "bin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(HifihrError, match="not UTF-8"):
        load_settings(Root, file=tmp_path / "bin.toml")


class Required(Settings):
    """A tree with a required setting."""

    name: str
    inner: Optimizer


def test_a_required_setting_is_asked_for():
    with pytest.raises(ConfigError, match="name: not set, and it has no default; give it with --set name=VALUE"):
        load_settings(Required)
    assert load_settings(Required, overrides=["name=x"]) == Required(name="x", inner=Optimizer())


def test_a_wrong_default_is_found_at_once():
    class Wrong(Settings):
        """A section whose default is of another type."""

        size: int = "three"

    with pytest.raises(ValidationError):
        Wrong()
