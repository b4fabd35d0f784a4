import numpy as np
import pytest

from hifihr_core.eyes.same_hand import each_once, is_repetition

OPEN = np.random.default_rng(3).uniform(0, 100, size=(21, 2))


@pytest.mark.parametrize(
    ("other", "is_one"),
    [
        (OPEN + 5, True),  # the same palm
        (OPEN[::-1].copy(), True),  # another order of joints, the same outline
        (OPEN + np.array([95.0, 0.0]), False),  # beside it
        (OPEN * 3, False),  # far larger: it may contain the small one, but is not part of it
    ],
)
def test_another_sighting_of_one_hand(other, is_one):
    assert is_repetition(other, OPEN) == is_one


def test_a_knuckle_inside_a_hand_is_a_part_of_it_whichever_is_more_certain():
    knuckle = OPEN.mean(axis=0) + (OPEN - 50) * 0.2 + 12
    assert is_repetition(knuckle, OPEN)
    np.testing.assert_array_equal(each_once(np.stack((knuckle, OPEN)), [0.99, 0.9]), [1])
    np.testing.assert_array_equal(each_once(np.stack((OPEN, knuckle)), [0.99, 0.9]), [0])


def test_an_uncertain_hand_keeps_clear_of_a_better_one():
    beside = OPEN + np.array([45.0, 0.0])
    both = np.stack((OPEN, beside))
    np.testing.assert_array_equal(each_once(both, [0.9, 0.8]), [0, 1])
    np.testing.assert_array_equal(each_once(both, [0.9, 0.8], np.array([True, False])), [0])
    np.testing.assert_array_equal(each_once(both, [0.8, 0.9], np.array([True, False])), [1, 0])


def test_hands_come_in_the_order_of_their_scores():
    hands = np.stack([OPEN, OPEN + 300, OPEN + 302])
    np.testing.assert_array_equal(each_once(hands, [0.5, 0.8, 0.9]), [2, 0])
    assert len(each_once(np.zeros((0, 21, 2)), [])) == 0
