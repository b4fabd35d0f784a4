"""Settings come back from TOML as they were."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from hifihr_core.config import Settings, dump_toml, load_settings, save_settings
from hifihr_core.config.loading import read_toml


class Step(Settings):
    """An element of a list."""

    at: int = 0
    lr: float = 1.0


class Inner(Settings):
    """A section."""

    rate: float = Field(0.5, description="Part per epoch.")
    names: tuple[str, ...] = ()
    weights: dict[str, float] = Field({})
    folder: Path | None = None


class Tree(Settings):
    """Every kind of value."""

    text: str = ""
    count: int = 0
    flag: bool = False
    inner: Inner = Inner()
    steps: tuple[Step, ...] = ()
    """One entry per change."""
    pairs: tuple[tuple[int, float], ...] = ()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
floats = st.floats(allow_nan=False)
trees = st.builds(
    Tree,
    text=texts,
    count=st.integers(-(2**62), 2**62),
    flag=st.booleans(),
    inner=st.builds(
        Inner,
        rate=floats,
        names=st.lists(texts, max_size=3).map(tuple),
        weights=st.dictionaries(texts, floats, max_size=3),
        folder=st.none() | st.just(Path("some/where")),
    ),
    steps=st.lists(st.builds(Step, at=st.integers(0, 9), lr=floats), max_size=2).map(tuple),
    pairs=st.lists(st.tuples(st.integers(0, 9), floats), max_size=2).map(tuple),
)


@given(trees, st.booleans())
def test_every_tree_survives_the_round_trip(tmp_path_factory, tree, comments):
    path = tmp_path_factory.mktemp("toml") / "settings.toml"
    path.write_text(dump_toml(tree, comments=comments), encoding="utf-8")
    assert load_settings(Tree, file=path) == tree


def test_the_text_is_readable():
    tree = Tree(text='a "b"', inner=Inner(weights={"joints 3d": 2.0}), steps=(Step(at=1),))
    assert dump_toml(tree) == (
        'text = "a \\"b\\""\ncount = 0\nflag = false\n# One entry per change.\nsteps = [{ at = 1, lr = 1.0 }]\n'
        "pairs = []\n\n[inner]\n# Part per epoch.\nrate = 0.5\nnames = []\n# folder is not set\n\n"
        '[inner.weights]\n"joints 3d" = 2.0\n'
    )


def test_saving_makes_the_folder_and_keeps_everything(tmp_path):
    path = tmp_path / "runs" / "a" / "settings.toml"
    save_settings(Tree(count=3), path)
    assert load_settings(Tree, file=path) == Tree(count=3)
    assert read_toml(path)["count"] == 3
    assert [entry.name for entry in path.parent.iterdir()] == ["settings.toml"]


def test_a_value_without_notation_is_refused():
    class Odd(Settings):
        """A section with a value that TOML cannot hold."""

        value: complex = 1j

    with pytest.raises(TypeError, match="complex has no TOML notation"):
        dump_toml(Odd())
