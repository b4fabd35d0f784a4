"""Rotations as arrays agree with SciPy's."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hifihr_core.geometry.axis_turns import shortest_turn, turn_about, unit_quaternions


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_turns_about_axes_are_those_of_scipy(axis: str) -> None:
    for angle in (-3.0, -0.1, 0.0, 1e-9, 2.0):
        np.testing.assert_allclose(turn_about(axis, angle), Rotation.from_euler(axis, angle).as_matrix(), atol=1e-15)


def test_quaternions_are_those_of_scipy_with_the_same_sign() -> None:
    turns = Rotation.random(200, random_state=0).as_matrix()
    np.testing.assert_allclose(unit_quaternions(turns), Rotation.from_matrix(turns).as_quat(), atol=1e-12)
    assert unit_quaternions(turns.reshape(10, 20, 3, 3)).shape == (10, 20, 4)


def test_the_shortest_turn_takes_one_vector_to_the_other() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 3))
    for start, end in zip(vectors, vectors[::-1], strict=True):
        start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
        turn = Rotation.from_quat(shortest_turn(start, end))
        np.testing.assert_allclose(turn.apply(start), end, atol=1e-12)
        assert turn.magnitude() == pytest.approx(np.arccos(np.clip(start @ end, -1, 1)), abs=1e-7)


@pytest.mark.parametrize("start", [np.array([0.0, 0.0, 1.0]), np.array([0.6, 0.8, 0.0])])
def test_opposite_vectors_are_half_a_turn_apart(start: np.ndarray) -> None:
    turn = Rotation.from_quat(shortest_turn(start, -start))
    np.testing.assert_allclose(turn.apply(start), -start, atol=1e-12)
    np.testing.assert_allclose(shortest_turn(start, start), [0, 0, 0, 1], atol=1e-12)
