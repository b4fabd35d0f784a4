import threading
from concurrent.futures import Future

import numpy as np
import pytest

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.palms import anchors_px, find_palms, palms_ahead, suppressed
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import joined, upright
from hifihr_core.eyes.search import square_views


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


class Striped(Engine):
    """Finds one palm per view, with a score that depends on the view's mean colour; records the thread of each call."""

    def __init__(self, threads: int) -> None:
        self.image_px, self.threads, self.calls = 192, threads, []

    def __call__(self, pictures):
        self.calls.append((threading.current_thread(), len(pictures)))
        numbers = np.zeros((len(pictures), 2016, 18), np.float32)
        numbers[:, 0, 2:4], numbers[:, 0, 4:] = 40.0, np.arange(14)
        logits = np.full((len(pictures), 2016, 1), -50.0, np.float32)
        logits[:, 0, 0] = [picture.mean() / 100 for picture in pictures]
        return [numbers, logits]


@pytest.mark.parametrize("threads", [1, 2])
def test_palms_found_ahead_are_those_found_one_after_another(threads):
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    views = [square_views(90, 60, (side,), (0.0,)) for side in (1.0, 0.6, 0.36)]
    engine = Striped(threads)
    with palms_ahead(engine, Pyramid(image), views, min_score=0.1) as palms_in:
        ahead = [palms_in(number) for number in range(len(views))]
    for some, found in zip(views, ahead, strict=True):
        expected = find_palms(Striped(1), Pyramid(image), some, min_score=0.1)
        np.testing.assert_array_equal(found.score, expected.score)
        np.testing.assert_array_equal(found.regions.center_px, expected.regions.center_px)
    if threads == 1:
        assert {thread for thread, _ in engine.calls} == {threading.current_thread()}
    assert sum(count for _, count in engine.calls) == sum(map(len, views))


def test_a_view_that_begins_while_others_are_cancelled_is_searched_once(monkeypatch):
    """The other thread finishes its first view as soon as one is cancelled, and begins another before the next is."""
    begun, cancelled, begun_again, cancel = *(threading.Event() for _ in range(3)), Future.cancel

    class Paced(Striped):
        def __call__(self, pictures):
            if threading.current_thread() is threading.main_thread():
                assert begun.wait(10)
            elif begun.is_set():
                begun_again.set()
            else:
                begun.set()
                assert cancelled.wait(10)
            return super().__call__(pictures)

    def cancel_slowly(future):
        done = cancel(future)
        if done and not cancelled.is_set():
            cancelled.set()
            assert begun_again.wait(10)
        return done

    monkeypatch.setattr(Future, "cancel", cancel_slowly)
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    views = [joined([upright(np.array([x, 30.0]), 30.0) for x in places]) for places in ([20.0], [20.0, 40.0, 60.0])]
    with palms_ahead(Paced(2), Pyramid(image), views, min_score=0.1) as palms_in:
        found = [palms_in(number) for number in range(2)]
    expected = find_palms(Striped(1), Pyramid(image), views[1], min_score=0.1)
    np.testing.assert_array_equal(found[1].regions.center_px, expected.regions.center_px)
