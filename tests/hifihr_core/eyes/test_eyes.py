"""The eyes on rendered photos with known hands, and on pictures without hands."""

import numpy as np
import pytest

from hifihr_core.eyes import Eyes, SeenHand
from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.search import EFFORTS, MAX_READINGS, square_views

#: A joint of the free hand is defined a little otherwise than one of the networks.
NEAR = 0.09


def error(hand: SeenHand, joints_px: np.ndarray) -> float:
    """Return the mean error in hand sizes."""
    return float(np.linalg.norm(hand.joints_px - joints_px, axis=1).mean() / np.ptp(joints_px, axis=0).max())


@pytest.fixture(scope="module")
def shot(shoot):
    return shoot(5, zoom=4)


@pytest.mark.parametrize("effort", ["fast", "auto"])
def test_the_hand_of_a_photo_is_found(eyes, shot, effort):
    (hand,) = eyes.find(shot.image, effort)
    assert error(hand, shot.detection.keypoints_px) < NEAR
    assert (hand.side, hand.score > 0.9, hand.side_confidence > 0.6) == ("right", True, True)
    assert hand.confidence.min() >= 0
    assert hand.confidence.max() <= 1
    np.testing.assert_array_equal(hand.box_px[:2], hand.joints_px.min(axis=0))


def test_the_mirrored_photo_has_the_other_hand(eyes, shot):
    (hand,) = eyes.find(np.ascontiguousarray(shot.image[:, ::-1]))
    joints = shot.detection.keypoints_px * np.array([-1, 1]) + np.array([shot.image.shape[1], 0])
    assert hand.side == "left"
    assert error(hand, joints) < NEAR


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_photo_has_its_hand_turned(eyes, shot, turns):
    turned = np.ascontiguousarray(np.rot90(shot.image, turns))
    (still,) = eyes.look(shot.image, shot.detection.box_px[None])
    joints = still.joints_px
    for size in [shot.image.shape[1::-1], shot.image.shape[:2], shot.image.shape[1::-1]][:turns]:
        joints = np.stack((joints[:, 1], size[0] - joints[:, 0]), axis=-1)
    box = np.concatenate((joints.min(axis=0), joints.max(axis=0)))
    (hand,) = eyes.look(turned, box[None])
    assert error(hand, joints) < 0.03
    assert hand.side == "right"


def test_metres_turn_with_the_hand(eyes, shot):
    box = shot.detection.box_px[None]
    (hand,) = eyes.look(shot.image, box)
    seen = shot.state.root_cam  # the true joints, about their middle
    assert seen.shape == (1, 3)
    truth = shot.joints_cam - shot.joints_cam.mean(axis=0)
    ours = hand.metres - hand.metres.mean(axis=0)
    assert np.linalg.norm(ours - truth, axis=1).mean() < 0.025
    wrist_to_tip = ours[12] - ours[0]
    assert wrist_to_tip @ (truth[12] - truth[0]) > 0


def test_the_same_photo_gives_the_same_numbers(eyes, shot):
    first, second = eyes.find(shot.image)[0], eyes.find(shot.image)[0]
    np.testing.assert_array_equal(first.joints_px, second.joints_px)
    np.testing.assert_array_equal(first.sigma_px, second.sigma_px)


def test_boxes_are_looked_at_one_by_one(eyes, shot):
    blind = np.array([0.0, 0.0, 60.0, 60.0])
    seen, nothing = eyes.look(shot.image, np.stack((shot.detection.box_px, blind)))
    assert error(seen, shot.detection.keypoints_px) < NEAR
    assert nothing.score < 0.5
    assert eyes.look(shot.image, np.zeros((0, 4))) == ()


def test_a_hand_is_followed_into_the_next_frame(eyes, shot):
    (before,) = eyes.find(shot.image, "fast")
    moved = np.roll(shot.image, (12, -20), axis=(0, 1))
    (after,) = eyes.follow(moved, [before])
    assert error(after, before.joints_px + np.array([-20, 12])) < 0.05
    (lost,) = eyes.follow(np.zeros_like(shot.image), [before])
    assert lost.score < 0.5


def test_many_hands_are_found_once_each_and_can_be_limited(eyes, shot):
    small = shot.image[::2, ::2]
    crowd = np.tile(small, (5, 8, 1))  # forty hands
    hands = eyes.find(crowd, "auto")
    assert 30 <= len(hands) <= 40
    assert [hand.score for hand in hands] == sorted((hand.score for hand in hands), reverse=True)
    assert len(eyes.find(crowd, "fast", max_hands=3)) <= 3


def test_a_hand_at_the_border_is_kept(eyes, shot):
    low = shot.detection.box_px[:2]
    cut = np.ascontiguousarray(shot.image[:, int(low[0]) + 25 :])
    assert len(eyes.find(cut)) == 1


def test_a_score_can_be_asked_for(eyes, shot):
    assert eyes.find(shot.image, min_score=1.0) == ()


@pytest.mark.parametrize("shape", [(480, 640), (1, 20_000), (20_000, 1), (1, 1), (9_000, 11_000)])
def test_black_pictures_of_any_shape_have_no_hands(eyes, shape):
    assert eyes.find(np.zeros((*shape, 3), dtype=np.uint8)) == ()


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (1, 1), (3, 7)])
def test_strips_of_noise_have_no_hands(eyes, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert eyes.find(noise) == ()


class Everywhere(Engine):
    """A network that sees a different hand in every look, and counts its looks."""

    def __init__(self, image_px: int, answer) -> None:
        self.image_px, self.threads, self.pictures, self.answer = image_px, 1, 0, answer
        self.random = np.random.default_rng(1)

    def __call__(self, pictures):
        self.pictures += len(pictures)
        return [np.asarray(one, np.float32) for one in self.answer(self.random, len(pictures))]


def palms_everywhere(random, count):
    numbers = np.zeros((count, 2016, 18))
    numbers[..., 2:4] = random.uniform(8, 40, (count, 2016, 2))
    numbers[..., 4:] = random.normal(0, 15, (count, 2016, 14))
    return numbers, random.uniform(1, 5, (count, 2016, 1))


def hands_everywhere(random, count):
    joints = random.uniform(20, 200, (count, 63))
    return joints, random.normal(0, 0.05, (count, 63)), np.full((count, 1), 0.999), random.random((count, 1))


@pytest.mark.parametrize("effort", ["fast", "auto"])
def test_the_work_is_bounded_however_much_looks_like_a_hand(effort):
    palms, landmarks = Everywhere(192, palms_everywhere), Everywhere(224, hands_everywhere)
    hands = Eyes(palms, landmarks).find(np.full((200, 300, 3), 128, dtype=np.uint8), effort, min_score=0.0)
    plan = EFFORTS[effort]
    sides = (*plan.view_sides, *plan.finer_sides)
    views = len(square_views(300, 200, sides, plan.view_turns))
    looks = len(sides) * plan.max_candidates * (1 + plan.rounds) + MAX_READINGS * plan.num_looks
    assert 1 <= palms.pictures <= views
    assert 1 <= landmarks.pictures <= looks
    assert len(hands) <= MAX_READINGS


def test_a_sky_has_no_hands_even_in_a_thorough_search(eyes):
    rows = np.linspace(0, 1, 240)[:, None, None]
    sky = np.broadcast_to((1 - rows) * [90, 140, 220] + rows * [200, 220, 240], (240, 320, 3)).astype(np.uint8)
    assert eyes.find(sky, "thorough") == ()


def test_a_hand_larger_than_the_picture_is_not_an_error(eyes, shot):
    middle = shot.detection.keypoints_px.mean(axis=0).astype(int)
    part = np.ascontiguousarray(shot.image[middle[1] - 40 : middle[1] + 40, middle[0] - 40 : middle[0] + 40])
    for hand in eyes.find(part):
        assert hand.box_px[0] < part.shape[1]
        assert hand.box_px[2] > 0
    assert len(eyes.find(part)) <= 1
    (looked,) = eyes.look(part, np.array([[0.0, 0.0, 80.0, 80.0]]))
    assert np.isfinite(looked.joints_px).all()


def test_an_unknown_effort_is_named(eyes):
    with pytest.raises(ValueError, match="unknown effort 'hard'; known efforts: fast, auto, thorough"):
        eyes.find(np.zeros((8, 8, 3), dtype=np.uint8), "hard")


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (20_000, 1), (11_000, 9_000)])
def test_views_cover_the_photo_and_are_not_too_many(size):
    for plan in EFFORTS.values():
        views = square_views(*size, plan.view_sides, (0.0,))
        assert len(views) <= 60
        side = plan.view_sides[-1] * max(size)
        last = views[views.side_px == side]
        low, high = last.center_px - side / 2, last.center_px + side / 2
        assert (low.min(axis=0) <= 1e-6).all()
        assert (high.max(axis=0) >= np.array(size) - 1e-6).all()


def test_loading_uses_the_given_number_of_threads():
    assert Eyes.load(threads=1).find(np.zeros((8, 8, 3), dtype=np.uint8)) == ()
