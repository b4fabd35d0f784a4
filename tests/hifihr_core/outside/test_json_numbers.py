"""The fast reader of number arrays against `json`: the same bits, or None."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.outside.json_numbers import parse_numbers

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20)


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=2, max_size=2), st.sampled_from([None, 0, 2]))
def test_the_numbers_are_those_of_json_to_the_bit(rows, indent):
    text = json.dumps(rows, indent=indent).encode()
    values = parse_numbers(text, (2, 3))
    if b"+" in text:
        assert values is None
    else:
        assert np.array_equal(values.view(np.int64), np.asarray(rows, np.float64).view(np.int64))


@given(st.text("01.-+eE ,[]", max_size=12))
def test_whatever_json_refuses_is_none(inside):
    text = f"[{inside}]".encode()
    values = parse_numbers(text, (1,))
    if values is not None:
        assert values.tolist() == [float(json.loads(text)[0])]


@pytest.mark.parametrize("number", ["0", "-0.0", "1E5", "5e-05", "1e-10", "1e05", "-0.25e-00", " 7\n"])
def test_spellings_of_json(number):
    assert parse_numbers(f"[{number}]".encode(), (1,)) == pytest.approx(json.loads(number), abs=0)


NOT_JSON = ["+1", "01", "-01", ".5", "-.5", "1.", "1.e5", "1e", "1e-", "--1", "1-2", "1.2.3", "1e5e5", "1ee5", "1e--5"]
NOT_A_NUMBER = [
    "",
    " ",
    "NaN",
    "Infinity",
    "inf",
    "null",
    "true",
    '"1"',
    "[1]",
    "{}",
    "1,",
    ",1",
    "1\x00",
    "1\xa0",
    "1 2",
]


@pytest.mark.parametrize("number", [*NOT_JSON, *NOT_A_NUMBER, "0x1", "1_0"])
def test_anything_else_is_none(number):
    assert parse_numbers(f"[{number}]".encode(), (1,)) is None
    assert parse_numbers(f"[{number},2]".encode(), (2,)) is None
    assert parse_numbers(f"[2,{number}]".encode(), (2,)) is None


@pytest.mark.parametrize(
    "text", [b"[1,2,3,4]", b"[[1,2],[3]]", b"[[1,2],[3,4]]]", b"[[1,2],[3,4]],1", b"[[1],[2,3]]", b""]
)
def test_another_shape_is_none(text):
    assert parse_numbers(text, (2, 2)) is None


def test_a_number_beyond_float64_is_infinite_as_for_json():
    assert math.isinf(parse_numbers(b"[1e999]", (1,))[0])
    assert parse_numbers(b"1.5", ()) == 1.5
