"""The streaming reader of nested lists against `json.load`."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.errors import DataError
from hifihr_core.evaluation.benchmarks import json_items
from hifihr_core.evaluation.benchmarks.json_items import iterate_items, parse_points


def read(text, depth):
    return [
        (item.group, json.loads(item.text))
        for item in iterate_items(io.BytesIO(text.encode()), "x.json", item_depth=depth)
    ]


points = st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), max_size=4)
samples = st.lists(points, max_size=5)


@given(st.lists(samples, max_size=3), st.integers(1, 40), st.sampled_from([None, 1]))
def test_items_are_those_of_json_whatever_the_block(groups, block, indent):
    text = json.dumps(groups, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_items, "_BLOCK_BYTES", block)
        assert read(text, 3) == [(g, sample) for g, group in enumerate(groups) for sample in group]


@given(samples)
def test_one_list_of_samples(group):
    assert read(json.dumps(group) + "\n", 2) == [(0, sample) for sample in group]


def test_every_digit_survives():
    values = np.random.default_rng(0).normal(size=(3, 21, 3)) * 10.0 ** np.arange(-9, 54).reshape(21, 3)
    stream = io.BytesIO(json.dumps(values.tolist()).encode())
    back = [parse_points(item, "x.json", "sample") for item in iterate_items(stream, "x.json", item_depth=2)]
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("cut", [1, 2, 5, 20])
def test_a_truncated_text_is_named(cut):
    text = json.dumps([[[[1.0, 2.0, 3.0]]], [[[4.0, 5.0, 6.0]]]])
    with pytest.raises(DataError, match="truncated"):
        read(text[:-cut], 3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ('{"xyz": [[[1, 2, 3]]]}', '\'{"xyz":'),
        ("[[1, 2], [3]]", "'1, 2]"),
        ("[[[[1, 2, 3]]], []] trailing", "more text follows"),
        ("[[[[1, 2, 3]]], []] [[]]", "more text follows"),
        ("[[[[1, 2, 3]]], null]", "'null'"),
    ],
)
def test_a_foreign_text_is_named(text, reason):
    with pytest.raises(DataError) as caught:
        read(text, 3)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[[1, 2]]", "[[1, 2, 3], [4, 5]]", '[["a", "b", "c"]]', "[]", "[[[1, 2, 3]]]", "[1, 2"]
)
def test_a_sample_that_is_no_list_of_points_is_named(text):
    with pytest.raises(DataError, match=r"x\.json: joints of sample 3: "):
        parse_points(json_items.Item(0, text.encode()), "x.json", "joints of sample 3")
