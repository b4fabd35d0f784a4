"""Numbers of annotations: anything with the requested shape, however nested, and nothing that explodes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hifihr_core.errors import DataError
from hifihr_core.records import Sample
from hifihr_core.sources.raw.attempts import attempt
from hifihr_core.sources.raw.pickled import floats, need, shape_of


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-9, 9)))
def test_arrays_and_lists_are_read_alike(array):
    for value in (array, array.tolist(), list(array)):
        np.testing.assert_array_equal(floats(value, array.shape), array)
    assert shape_of(array.tolist(), most=array.size) == array.shape
    assert floats(array, (array.size + 1,)) is None


def bomb(levels=40):
    value: list = [1.0] * 10
    for _ in range(levels):
        value = [value] * 10
    return value


LOOP: list = [1.0]
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value", [None, "text", [[1], [2, 3]], [1, None], [10**400, 1], [np.nan, 1], bomb(), LOOP, [[[]]], {}, [b"1", b"2"]]
)
def test_anything_but_an_array_of_numbers_is_rejected(value):
    assert floats(value, (2,)) is None
    with pytest.raises(DataError, match="pose is"):
        need({"pose": value}, "pose", (2,))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "None"),
        ({}, "not an array"),
        ([1.0, np.nan], "not finite"),
        (np.zeros(3), r"of shape \(3,\)"),
    ],
)
def test_what_is_wrong_with_an_array_is_named(value, found):
    with pytest.raises(DataError, match=rf"^pose is {found}, expected finite numbers of shape \(2,\)$"):
        need({"pose": value}, "pose", (2,))


@pytest.mark.parametrize("fault", [ValueError("a\nb"), OverflowError(), KeyError("x"), RecursionError()])
def test_a_bad_annotation_is_one_problem(fault):
    def make() -> Sample:
        raise fault

    problem = attempt("0001", make)
    assert problem.key == "0001"
    assert problem.reason.startswith("the sample cannot be used")
    assert "\n" not in problem.reason
