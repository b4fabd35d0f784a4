"""Looking names up: the nearest is offered, and rows are imported on demand."""

import pytest

from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.lookup import load_attribute, lookup, needed

TABLE = {"anny": 1, "mano": 2}


def test_a_known_name_gives_its_row():
    assert lookup(TABLE, "mano", "model.hand") == 2


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"model.hand: found 'ano', expected one of anny, mano; did you mean mano\?"):
        lookup(TABLE, "ano", "model.hand")
    with pytest.raises(AssetError, match=r"see the list$"):
        lookup(TABLE, "x", "asset", error=AssetError, remedy="see the list")
    many = {f"n{number}": number for number in range(50)}
    with pytest.raises(ConfigError, match="n19 and 30 more"):
        lookup(many, "q", "what")


def test_rows_are_imported_when_they_are_asked_for():
    assert load_attribute("hifihr_core.lookup:lookup") is lookup


def test_a_value_that_must_be_there():
    assert needed(0, "the number") == 0
    with pytest.raises(ValueError, match="the picture: missing"):
        needed(None, "the picture")
