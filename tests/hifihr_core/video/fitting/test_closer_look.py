from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.hands import HandModel
from hifihr_core.lifting.hand_network import build_hand_network
from hifihr_core.lifting.second_sight import SecondSight
from hifihr_core.photos.reading import as_photo
from hifihr_core.photos.seen_hands import shared_eyes
from hifihr_core.video.fitting import closer_look
from hifihr_core.video.fitting.closer_look import closer_hands, with_lift
from hifihr_core.video.fitting.sighted_tracks import SightedTrack, sighted_tracks
from hifihr_core.video.reading.frames import WHOLE, ClipFacts, Frame, FrameSource, Span
from hifihr_core.video.tracking.journal import SeenFrame

PHOTO = Path(__file__).parents[4] / "examples" / "hand.jpg"


class _Pictures(FrameSource):
    """A clip of some pictures, numbered from 0."""

    def __init__(self, images: dict[int, np.ndarray]) -> None:
        super().__init__()
        self.images = images
        height, width = next(iter(images.values())).shape[:2]
        self.facts = ClipFacts("pictures", width, height, 30.0)

    def frames(self, span: Span = WHOLE, *, after: int = -1) -> Iterator[Frame]:
        return (Frame(number, number / 30, image) for number, image in self.images.items() if number > after)


@pytest.fixture(scope="module")
def sight(anny: HandModel) -> SecondSight:
    torch.manual_seed(0)
    return SecondSight(build_hand_network(anny, width=32, blocks=1).eval(), threads=1)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return as_photo(PHOTO).image


@pytest.fixture(scope="module")
def hand_seen(image: np.ndarray) -> SeenHand:
    return shared_eyes().find(image, "fast")[0]


def _mirrored(hand: SeenHand, width: int) -> SeenHand:
    joints, metres = hand.joints_px.copy(), hand.metres.copy()
    joints[:, 0], metres[:, 0] = width - joints[:, 0], -metres[:, 0]
    return replace(hand, joints_px=joints, metres=metres, side="left" if hand.side == "right" else "right")


def _frames(hands: list[SeenHand]) -> list[SeenFrame]:
    return [SeenFrame(number, number / 30, True, {0: hand}) for number, hand in enumerate(hands)]


def _looked(anny: HandModel, sight: SecondSight, clip: _Pictures, frames: list[SeenFrame]) -> SightedTrack:
    width, height = clip.facts.width, clip.facts.height
    K = np.array([[float(width), 0, width / 2], [0, float(width), height / 2], [0, 0, 1]])
    [track] = sighted_tracks(frames, K, width)
    return with_lift(anny, track, closer_hands(sight, anny, clip, WHOLE, frames, [track]).get(track.id))


def test_a_left_hand_is_the_mirrored_right_one(
    anny: HandModel, sight: SecondSight, image: np.ndarray, hand_seen: SeenHand
) -> None:
    other = np.ascontiguousarray(image[:, ::-1])
    mirrored = _mirrored(hand_seen, image.shape[1])
    one = _looked(anny, sight, _Pictures(dict.fromkeys(range(3), image)), _frames([hand_seen] * 3))
    two = _looked(anny, sight, _Pictures(dict.fromkeys(range(3), other)), _frames([mirrored] * 3))
    assert one.side != two.side
    assert one.seen.lifted is not None
    assert two.seen.lifted is not None
    np.testing.assert_allclose(two.seen.lifted.pose, one.seen.lifted.pose, atol=0.02)
    np.testing.assert_allclose(two.seen.lifted.root_cam, one.seen.lifted.root_cam, atol=2e-3)
    np.testing.assert_allclose(two.seen.sigma_px, one.seen.sigma_px, rtol=0.05)


def test_batches_do_not_matter_and_what_is_not_shown_again_is_bridged(
    anny: HandModel,
    sight: SecondSight,
    image: np.ndarray,
    hand_seen: SeenHand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = {number: np.roll(image, 3 * number, axis=1) for number in (0, 1, 2, 4)}
    hands = [replace(hand_seen, joints_px=hand_seen.joints_px + np.array([3 * number, 0])) for number in range(5)]
    whole = _looked(anny, sight, _Pictures(images), _frames(hands))
    monkeypatch.setattr(closer_look, "_BATCH", 1)
    single = _looked(anny, sight, _Pictures(images), _frames(hands))
    assert whole.seen.lifted is not None
    assert single.seen.lifted is not None
    np.testing.assert_allclose(single.seen.lifted.pose, whole.seen.lifted.pose, atol=1e-5)
    assert whole.seen.seen().tolist() == [True, True, True, False, True]
    between = (whole.seen.lifted.pose[2] + whole.seen.lifted.pose[4]) / 2
    np.testing.assert_allclose(whole.seen.lifted.pose[3], between, atol=1e-9)


def test_a_joint_that_the_network_sees_elsewhere_moves_there(
    anny: HandModel, sight: SecondSight, image: np.ndarray, hand_seen: SeenHand
) -> None:
    wrong = hand_seen.joints_px.copy()
    wrong[8] += 0.4 * hand_seen.size_px
    frames = _frames([replace(hand_seen, joints_px=wrong)] * 3)
    track = _looked(anny, sight, _Pictures(dict.fromkeys(range(3), image)), frames)
    right = hand_seen.joints_px.copy()
    if track.side == "left":
        right[:, 0] = image.shape[1] - right[:, 0]
    apart = np.linalg.norm(track.seen.joints_px[0] - right, axis=1) / hand_seen.size_px
    assert apart[8] < 0.2
    assert np.median(apart) < 0.02
    larger = track.seen.sigma_px[0] / hand_seen.sigma_px
    assert larger[8] > 1.4 * np.median(larger)
