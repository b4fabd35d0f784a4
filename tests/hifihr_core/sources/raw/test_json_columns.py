"""Annotation lists: exact to float32, faults recorded by entry, broken text reported."""

import json
import re

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.sources.raw.json_columns import stage_column
from hifihr_core.sources.raw.raw_tree import RawFile


def stage(tmp_path, text, shape):
    (tmp_path / "list.json").write_text(text)
    return stage_column(RawFile(tmp_path / "list.json"), tmp_path / "out" / "list.npy", shape=shape)


def test_values_are_rounded_once_from_float64(tmp_path):
    values = np.random.default_rng(0).normal(size=(700, 21, 3))
    column = stage(tmp_path, json.dumps(values.tolist()), (21, 3))
    assert len(column) == 700
    assert np.array_equal(column.values, values.astype(np.float32))
    assert column.faults == {}
    assert column[3].flags.writeable


def test_scalars_and_nested_singletons_take_the_shape_asked_for(tmp_path):
    assert stage(tmp_path, "[1, 2.5, -3e-2]", ()).values.tolist() == [1, 2.5, np.float32(-0.03)]
    (tmp_path / "b").mkdir()
    assert stage(tmp_path / "b", "[[[1, 2]], [[3, 4]]]", (2,)).values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("[1, NaN]", "a value that is not a finite number"),
        ("[1, null]", "a value that is not a finite number"),
        ("null", r"a single value, expected shape \(2,\)"),
        ("[1, 2, 3]", r"shape \(3,\), expected shape \(2,\)"),
        ("[1, [2]]", r"not a readable array of numbers, expected shape \(2,\)"),
        ('["x", "y"]', "not a readable array"),
        ("{}", "not a readable array"),
        ("[1, 1e300]", "not a finite number"),
        ("[1, 1" + "0" * 400 + "]", "not a readable array"),
        ("[1, 1" + "0" * 5000 + "]", "not a readable array"),
        ("[1, 2 3]", "not a readable array"),
    ],
)
def test_a_bad_entry_is_a_fault_of_its_own(tmp_path, entry, fault):
    column = stage(tmp_path, f"[[1, 2], {entry}, [5, 6]]", (2,))
    assert list(column.faults) == [1]
    assert re.search(fault, column.faults[1])
    assert np.isnan(column.values[1]).all()
    assert column.values[2].tolist() == [5, 6]


@pytest.mark.parametrize("text", ["[[1, 2], [3", "[[1, 2], [3, 4] [5", "", "{}", "[]", "not json", '{"a": [1, 2]}'])
def test_broken_text_is_an_error_that_names_the_file(tmp_path, text):
    with pytest.raises(DataError, match=r"list\.json: .*; download it again"):
        stage(tmp_path, text, (2,))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_staged_list_is_only_opened_again(tmp_path):
    stage(tmp_path, "[[1, 2], [NaN, 4]]", (2,))
    again = stage(tmp_path, "broken", (2,))
    assert again.values[0].tolist() == [1, 2]
    assert list(again.faults) == [1]
