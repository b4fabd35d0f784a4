import numpy as np
import pytest

from hifihr_core.video.fitting.banded import TimeSystem, accelerations, add_accelerations, spread_accelerations


def _random(times: int, size: int) -> tuple[TimeSystem, np.ndarray, np.ndarray, np.ndarray]:
    dice = np.random.default_rng(times)
    factors = dice.normal(size=(times, size + 2, size))
    alone = TimeSystem(factors.transpose(0, 2, 1) @ factors, np.zeros((times, size)), np.zeros((times, size)))
    times_s = np.cumsum(dice.uniform(0.01, 0.1, times))
    weights = accelerations(times_s) / 1000
    strength = dice.uniform(0.5, 2.0, (times, size))
    return alone, times_s, weights, strength


def _dense_accelerations(weights: np.ndarray, size: int) -> np.ndarray:
    """Return the matrix that gives the accelerations of all numbers, frame after frame: the plain twin."""
    times = len(weights)
    matrix = np.zeros((times * size, times * size))
    for t in range(2, times):
        for d in range(size):
            for k in range(3):
                matrix[t * size + d, (t - 2 + k) * size + d] = weights[t, k]
    return matrix


@pytest.mark.parametrize("times", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_banded_solution_is_that_of_the_dense_matrix(times: int, damping: float) -> None:
    size = 5
    alone, _, weights, strength = _random(times, size)
    dense = np.zeros((times * size, times * size))
    for t, block in enumerate(alone.blocks):
        dense[t * size : (t + 1) * size, t * size : (t + 1) * size] = block
    scaled = strength.ravel()[:, None] * _dense_accelerations(weights, size)
    dense += scaled.T @ scaled
    right = np.random.default_rng(1).normal(size=(times, size))
    system = add_accelerations(alone, weights, strength) if times > 2 else alone
    expected = np.linalg.solve(dense + damping * np.diag(np.diag(dense)), right.ravel())
    np.testing.assert_allclose(system.solve(right, damping).ravel(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(system.diagonal().ravel(), np.diag(dense))


def test_a_parabola_has_one_acceleration_at_any_times() -> None:
    times_s = np.array([0.0, 0.1, 0.15, 0.4, 0.41, 1.0])
    values = 3.0 * times_s**2 - 2 * times_s + 1
    weights = accelerations(times_s)
    found = [weights[t] @ values[t - 2 : t + 1] for t in range(2, 6)]
    np.testing.assert_allclose(found, 6.0)
    assert not weights[:2].any()


def test_the_effect_on_frames_is_the_transpose() -> None:
    _, _, weights, strength = _random(7, 3)
    matrix = _dense_accelerations(weights, 3)
    np.testing.assert_allclose(spread_accelerations(weights, strength).ravel(), matrix.T @ strength.ravel())
