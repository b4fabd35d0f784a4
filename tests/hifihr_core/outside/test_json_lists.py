"""The streaming reader of long lists against `json.load`."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.errors import DataError
from hifihr_core.outside import json_lists
from hifihr_core.outside.json_lists import iterate_entries


def read(text, level=1):
    stream = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    return [(entry.group, entry.parse()) for entry in iterate_entries(stream, "x.json", level=level)]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=12
)


@given(
    st.lists(st.lists(values, max_size=5), max_size=3), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans()
)
def test_entries_are_those_of_json_whatever_the_block(groups, block, indent, ascii_only):
    text = json.dumps(groups, indent=indent, ensure_ascii=ascii_only)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lists, "_BLOCK_BYTES", block)
        assert read(text, 2) == [(g, entry) for g, group in enumerate(groups) for entry in group]
        flat = json.dumps([entry for group in groups for entry in group], indent=indent)
        assert [entry for _, entry in read("\ufeff" + flat + "\n")] == [entry for group in groups for entry in group]


def test_every_digit_survives():
    points = np.random.default_rng(0).normal(size=(3, 21, 3)) * 10.0 ** np.arange(-9, 54).reshape(21, 3)
    np.testing.assert_array_equal([entry for _, entry in read(json.dumps(points.tolist()))], points)


@pytest.mark.parametrize("cut", [1, 2, 5, 20])
def test_a_truncated_text_is_named(cut):
    text = json.dumps([[[[1.0, 2.0, 3.0]]], [[[4.0, 5.0, 6.0]]]])
    with pytest.raises(DataError, match="the text ends after"):
        read(text[:-cut], 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ('{"xyz": [[[1, 2, 3]]]}', "'{', expected a list"),
        ("7", "'7"),
        ("]", "']'"),
        ("[1, [2]]", "found '1'"),
        ("[[[[1, 2, 3]]], []] trailing", "more text follows"),
        ("[[[[1, 2, 3]]], []] [[]]", "more text follows"),
        ("[[[[1, 2, 3]]], null]", "found 'null'"),
        ("[[" + "[" * 200_000, "brackets are nested more than 64 deep"),
    ],
)
def test_a_text_that_is_not_a_list_is_named(text, reason):
    with pytest.raises(DataError) as caught:
        read(text, 2)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_number_of_lists_may_be_given():
    stream = io.BytesIO(b"[[1], [2]]")
    with pytest.raises(DataError, match="number of inner lists: 2, expected 3; ask again"):
        list(iterate_entries(stream, "x", level=2, lists=3, remedy="ask again"))


def test_an_endless_entry_is_not_stored(monkeypatch):
    monkeypatch.setattr(json_lists, "_BLOCK_BYTES", 100)
    monkeypatch.setattr(json_lists, "MOST_ENTRY_BYTES", 1000)
    with pytest.raises(DataError, match="an entry has more than 1,000 bytes"):
        read("[[" + "1, " * 10_000)


@pytest.mark.parametrize("text", ["[[1, 2", "[nonsense]", '["a" "b]', f"[{'9' * 5000}]", r'["\ud800"]'])
def test_an_entry_that_is_not_json_is_a_separate_error(text):
    with pytest.raises((DataError, ValueError)):
        read(text)
