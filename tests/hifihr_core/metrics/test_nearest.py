"""The compiled loop against the full matrix of distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.metrics.nearest import nearest_distances, nearest_distances_reference


def test_by_hand():
    a = np.array([[[0.0, 0, 0], [1, 0, 0]]])
    b = np.array([[[0.0, 3, 4], [1, 2, 0], [1, 0, 0]]])
    to_b, to_a = nearest_distances(a, b)
    np.testing.assert_array_equal(to_b, [[1, 0]])
    np.testing.assert_array_equal(to_a, [[5, 2, 0]])


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.integers(1, 70))
def test_equals_its_twin_in_every_digit(seed, n, m, batch):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(batch, n, 3)), rng.normal(size=(batch, m, 3))
    for ours, twin in zip(nearest_distances(a, b), nearest_distances_reference(a, b), strict=True):
        np.testing.assert_array_equal(ours, twin)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_and_memory_order_change_nothing(dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(130, 40, 3)).astype(dtype), rng.normal(size=(130, 50, 3)).astype(dtype)
    one = nearest_distances(a, b, threads=1)
    for other in (nearest_distances(a, b, threads=4), nearest_distances(np.asfortranarray(a), b[:, ::1])):
        assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))
