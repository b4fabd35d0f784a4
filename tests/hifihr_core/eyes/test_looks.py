import numpy as np
import pytest

from hifihr_core.eyes.looks import (
    presence_of,
    probability_of_hand,
    probability_within,
    sigma_of,
    spread_of,
    spread_px,
    summary,
)
from hifihr_core.eyes.sightings import Sightings


def looks(noise_px: float, presence: float, count: int = 5) -> Sightings:
    random = np.random.default_rng(1)
    joints = random.uniform(0, 200, size=(21, 2)) + random.normal(0, noise_px, size=(count, 21, 2))
    return Sightings(
        joints, np.zeros((count, 21)), np.zeros((count, 21, 3)), np.full(count, presence), np.full(count, 0.9)
    )


@pytest.mark.parametrize("presence", [0.3, 0.8, 0.95, 0.996])
def test_score_and_spread_can_be_read_back_from_a_hand(presence):
    assert presence_of(probability_of_hand(presence)) == pytest.approx(presence, abs=1e-4)
    some = looks(2.0, presence)
    np.testing.assert_allclose(spread_of(summary(some)), spread_px(some), rtol=2e-2)


def test_looks_that_agree_are_more_certain():
    near, far = summary(looks(0.5, 0.99)), summary(looks(8.0, 0.99))
    assert (near.sigma_px < far.sigma_px).all()
    assert (near.confidence > far.confidence).all()
    assert near.side == "right"
    assert near.side_confidence == pytest.approx(0.9)


def test_the_probability_is_a_share_that_grows_with_the_radius():
    sigma = sigma_of(np.full(21, 0.01), 0.99)
    shares = np.stack([probability_within(radius, sigma) for radius in (0.0, 0.01, 0.1, 100.0)])
    np.testing.assert_allclose(shares[0], 0)
    np.testing.assert_allclose(shares[-1], 1, atol=1e-6)
    assert (np.diff(shares, axis=0) > 0).all()
