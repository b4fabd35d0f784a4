"""JSON from outside: what is read, and what is refused in one line."""

import math

import pytest

from hifihr_core.errors import AssetError, DataError
from hifihr_core.json_text import finite_json, parse_json


def test_a_byte_order_mark_is_skipped():
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 2.5, null]}', "a.json") == {"a": [1, 2.5, None]}
    assert parse_json("\ufeff[]", "a.json") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 6000, "a number of 6,000 digits"),
        ("1." + "9" * 6000, "a number of 6,002 digits"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, reason):
    with pytest.raises(DataError, match=f"a.json: .*{reason}") as caught:
        parse_json(text, "a.json")
    assert "\n" not in str(caught.value)


def test_the_error_is_the_callers():
    with pytest.raises(AssetError, match="weights: not valid JSON"):
        parse_json("", "weights", error=AssetError)


def test_numbers_that_json_lacks_become_null():
    assert finite_json({1: (math.nan, [math.inf, 2.0])}) == {"1": [None, [None, 2.0]]}
