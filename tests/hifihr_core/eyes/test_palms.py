import numpy as np

from hifihr_core.eyes.palms import anchors_px, suppressed


def test_anchors_are_cell_centres_two_of_the_fine_grid_then_six_of_the_coarse():
    anchors = anchors_px()
    assert anchors.shape == (2016, 2)
    np.testing.assert_array_equal(anchors[:3], [[4, 4], [4, 4], [12, 4]])
    np.testing.assert_array_equal(anchors[1152], [8, 8])
    np.testing.assert_array_equal(anchors[-1], [184, 184])


def network_output(palms: dict[int, tuple[float, float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers and logits with palms (dx, dy, size, logit) at some anchors."""
    numbers, logits = np.zeros((2016, 18)), np.full(2016, -50.0)
    for anchor, (dx, dy, size, logit) in palms.items():
        numbers[anchor] = (dx, dy, size, size, *[dx, dy] * 7)
        logits[anchor] = logit
    return numbers, logits


def test_overlapping_candidates_are_averaged_by_score_and_others_kept():
    # Scores 0.75 and 0.5 near (4, 4); another palm of score 0.6 far away.
    numbers, logits = network_output({0: (0, 0, 20, np.log(3)), 1: (5, 0, 20, 0.0), 2015: (0, 0, 20, np.log(1.5))})
    palms, scores = suppressed(numbers, logits, min_score=0.3)
    np.testing.assert_allclose(scores, [0.75, 0.6])
    np.testing.assert_allclose(palms[0, 0], [4 + 5 * 0.5 / 1.25, 4])
    np.testing.assert_allclose(palms[0, 2:], np.tile([4 + 5 * 0.5 / 1.25, 4], (7, 1)))
    np.testing.assert_allclose(palms[1, 0], [184, 184])


def test_nothing_above_the_score_is_nothing():
    palms, scores = suppressed(*network_output({}), min_score=0.05)
    assert palms.shape == (0, 9, 2)
    assert scores.shape == (0,)
