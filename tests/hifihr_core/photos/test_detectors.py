import numpy as np
import pytest

from hifihr_core.errors import ConfigError
from hifihr_core.photos.detections import Detection, mirrored
from hifihr_core.photos.detectors import DETECTORS, build_detector, choose_detector, detect, whole_image
from hifihr_core.photos.reading import Photo
from hifihr_core.photos.seen_hands import complete


def test_the_whole_image_is_a_hand_of_unknown_side() -> None:
    [hand] = whole_image(np.zeros((30, 40, 3), dtype=np.uint8))
    np.testing.assert_array_equal(hand.box_px, [0, 0, 40, 30])
    assert hand.side is None


def test_hands_found_in_a_reduced_photo_are_in_pixels_of_the_photo() -> None:
    [hand] = detect(Photo(None, np.zeros((30, 40, 3), dtype=np.uint8), (80, 90)), whole_image)
    np.testing.assert_array_equal(hand.box_px, [0, 0, 80, 90])


def test_an_unknown_detector_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="auto, fast, thorough, none"):
        build_detector("yolo")
    assert choose_detector("fast") == "fast"


@pytest.mark.parametrize("name", ["fast", "auto"])
def test_the_eyes_find_hands_with_keypoints_and_confidences(shoot, name) -> None:
    shot = shoot(5, zoom=4)
    assert DETECTORS[name].finds_keypoints
    [hand] = build_detector(name)(shot.image)
    off = np.linalg.norm(hand.keypoints_px - shot.detection.keypoints_px, axis=1).mean()
    assert off < 0.09 * np.ptp(shot.detection.keypoints_px, axis=0).max()
    assert hand.side == "right"
    assert ((hand.keypoints_confidence > 0) & (hand.keypoints_confidence < 1)).all()
    assert build_detector(name, min_score=1.0)(shot.image) == []


def test_a_reduced_photo_is_seen_at_its_full_size(shoot) -> None:
    shot = shoot(5, zoom=4)
    height, width = shot.image.shape[:2]
    [hand] = detect(Photo(None, shot.image, (2 * width, 2 * height)), build_detector("fast"))
    [same] = detect(Photo(None, shot.image, (width, height)), build_detector("fast"))
    np.testing.assert_allclose(hand.keypoints_px, 2 * same.keypoints_px)
    np.testing.assert_allclose(hand.seen.sigma_px, 2 * same.seen.sigma_px)


def test_a_mirrored_photo_exchanges_sides_also_in_what_the_eyes_saw(shoot) -> None:
    [hand] = mirrored(build_detector("fast")(shoot(5, zoom=4).image))
    assert (hand.side, hand.seen.side) == ("left", "left")


def test_boxes_get_the_joints_that_the_eyes_see_in_them(shoot) -> None:
    shot = shoot(5, zoom=4)
    photo = Photo(None, shot.image, shot.image.shape[1::-1])
    boxes = [
        Detection(shot.detection.box_px),
        Detection(shot.detection.box_px, side="left"),
        Detection([0.0, 0.0, 60.0, 60.0]),
        shot.detection,
    ]
    free, told, blind, known = complete(photo, boxes)
    off = np.linalg.norm(free.keypoints_px - shot.detection.keypoints_px, axis=1).mean()
    assert off < 0.09 * np.ptp(shot.detection.keypoints_px, axis=0).max()
    assert (free.side, told.side) == ("right", "left")
    assert blind.keypoints_px is None
    assert blind.score < 0.5
    assert blind.notes == ("no hand was seen in this box",)
    assert known is shot.detection
    assert complete(photo, boxes[:1], mirror=True)[0].side == "left"
    assert complete(photo, []) == []
