import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.photos.detections import Detection, box_from_xywh, check_in_photo, mirrored, without_poor_keypoints

BOX = [10.0, 20.0, 60.0, 80.0]
POINTS = np.stack((np.linspace(12, 58, 21), np.linspace(22, 78, 21)), axis=1)


def test_lists_are_converted_and_keypoints_count_in_full() -> None:
    hand = Detection(BOX, keypoints_px=POINTS.tolist())
    assert hand.box_px.dtype == np.float64
    assert hand.found.all()
    assert hand.box_xywh == [10, 20, 50, 60]
    np.testing.assert_array_equal(box_from_xywh(hand.box_xywh), BOX)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"box_px": [1, 2, 3]}, "box_px has shape"),
        ({"box_px": [5, 5, 5, 9]}, "x0 < x1"),
        ({"box_px": [0, 0, np.inf, 1]}, "finite"),
        ({"side": "Left"}, "'left', 'right' or None"),
        ({"keypoints_px": POINTS[:20]}, "keypoints_px"),
        ({"K": "K"}, "K is 'K'"),
    ],
)
def test_a_wrong_call_names_what_is_expected(wrong: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Detection(**{"box_px": BOX, **wrong})


def test_a_hand_moves_with_the_size_of_its_photo() -> None:
    K = np.array([[500.0, 0, 100], [0, 500, 80], [0, 0, 1]])
    half = Detection(BOX, keypoints_px=POINTS, K=K).resized(0.5)
    np.testing.assert_array_equal(half.box_px, [5, 10, 30, 40])
    np.testing.assert_array_equal(half.keypoints_px, POINTS / 2)
    np.testing.assert_array_equal(half.K[0], [250, 0, 50])
    np.testing.assert_array_equal(Detection(BOX).resized((2.0, 1.0)).box_px, [20, 20, 120, 80])


def test_a_mirror_exchanges_sides() -> None:
    sides = [one.side for one in mirrored([Detection(BOX, side="left"), Detection(BOX, side="right"), Detection(BOX)])]
    assert sides == ["right", "left", None]


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([0.1, 0.2, 0.6, 0.8], "normalised"),
        ([10, 10, 13, 60], "too small"),
        ([700, 10, 800, 60], "outside the photo of 640 x 480"),
        ([0, 0, 1e300, 1e300], "far larger"),
        ([5.0, 5.0, 5.0 + 1e-9, 6], "too small"),
    ],
)
def test_a_box_that_cannot_be_one_of_the_photo_is_refused(box: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_in_photo(Detection(box), 640, 480)


def test_keypoints_belong_to_their_box_and_their_photo() -> None:
    check_in_photo(Detection(BOX, keypoints_px=POINTS), 640, 480)
    with pytest.raises(DataError, match="outside their box"):
        check_in_photo(Detection(BOX, keypoints_px=POINTS + 300), 640, 480)
    with pytest.raises(DataError, match="normalised"):
        check_in_photo(Detection(BOX, keypoints_px=POINTS / 640), 640, 480)
    lost = np.where(np.arange(21) < 5, 0.0, 1.0)
    check_in_photo(Detection(BOX, keypoints_px=POINTS * lost[:, None], keypoints_confidence=lost), 640, 480)


def test_too_few_or_clustered_keypoints_are_ignored_with_a_note() -> None:
    good = Detection(BOX, keypoints_px=POINTS)
    assert without_poor_keypoints(good) is good
    three = without_poor_keypoints(Detection(BOX, 1.0, None, POINTS, np.where(np.arange(21) < 3, 1.0, 0.0)))
    assert three.keypoints_px is None
    assert "too few keypoints were found (3 of 21)" in three.notes[0]
    heap = without_poor_keypoints(Detection(BOX, keypoints_px=30 + POINTS / 40))
    assert heap.keypoints_px is None
    assert "small part of the box" in heap.notes[0]
