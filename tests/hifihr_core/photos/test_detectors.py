import os
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.photos import detectors
from hifihr_core.photos.detectors import Detection, box_area, build_detector, mirrored, whole_image
from hifihr_core.photos.reading import find_photos, read_photo


def _hand_at(x: float, y: float, size: float) -> np.ndarray:
    """Return 21 keypoints that fill a square."""
    return np.stack(np.meshgrid(np.linspace(x, x + size, 7), np.linspace(y, y + size, 3)), axis=-1).reshape(-1, 2)


def _finder(hands: list[tuple[np.ndarray, str]], shape: tuple[int, int]):
    """Return a detector that knows where the hands of a photo are: its tiles carry their corner in their pixels."""

    def look(tile: np.ndarray) -> list:
        corner = tile[0, 0, :2].astype(float)
        low, high = corner, corner + tile.shape[1::-1]
        return [
            (hand - corner, side, 0.9)
            for hand, side in hands
            if (hand.max(axis=0) > low).all() and (hand.min(axis=0) < high).all()
        ]

    image = np.zeros((*shape, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = np.arange(shape[1])[None], np.arange(shape[0])[:, None]
    return image, look


def test_each_hand_is_found_once_and_whole() -> None:
    hands = [(_hand_at(10, 20, 60), "right"), (_hand_at(150, 90, 40), "left")]
    image, look = _finder(hands, (160, 220))
    found = detectors._look_closer(image, look, max_hands=8)
    assert [one.side for one in found] == ["right", "left"]
    for one, (keypoints, _) in zip(found, hands, strict=True):
        np.testing.assert_allclose(one.keypoints_px, keypoints)
        np.testing.assert_allclose(one.box_px, [*keypoints.min(axis=0), *keypoints.max(axis=0)])


def test_clasped_hands_stay_two_and_one_hand_stays_one() -> None:
    outer, inner = _hand_at(0, 0, 100), _hand_at(45, 45, 50)
    sighting = detectors._detection
    assert not detectors._same_hand(sighting(outer, "right", 1.0), sighting(inner, "left", 1.0))
    assert detectors._same_hand(sighting(outer, "right", 1.0), sighting(inner, "right", 1.0))
    assert detectors._same_hand(sighting(outer, "right", 1.0), sighting(outer + 5, "left", 1.0))
    assert detectors._same_hand(sighting(outer, "right", 1.0), sighting(_hand_at(25, 25, 50), "left", 1.0))


def test_tiles_cover_the_photo() -> None:
    seen = np.zeros((101, 67), dtype=int)
    for x, y, tile in detectors._tiles(np.zeros((101, 67, 3), dtype=np.uint8), 3):
        seen[y : y + tile.shape[0], x : x + tile.shape[1]] += 1
    assert seen.min() >= 1
    assert seen.max() > 1


def test_whole_image_and_mirror() -> None:
    [hand] = whole_image(np.zeros((30, 40, 3), dtype=np.uint8))
    np.testing.assert_array_equal(hand.box_px, [0, 0, 40, 30])
    assert hand.side is None
    assert mirrored([hand])[0].side is None
    assert mirrored([Detection(hand.box_px, 1.0, side="left")])[0].side == "right"
    assert box_area(np.array([3.0, 3.0, 1.0, 5.0])) == 0


def test_unknown_detector_lists_the_known() -> None:
    with pytest.raises(ValueError, match="mediapipe"):
        build_detector("yolo")


@pytest.mark.skipif("HIFIHR_TEST_PHOTOS" not in os.environ, reason="HIFIHR_TEST_PHOTOS names no folder of photos")
def test_mediapipe_finds_the_hands_of_real_photos() -> None:
    pytest.importorskip("mediapipe")
    detect = build_detector("mediapipe")
    found = {
        path.stem: detect(read_photo(path).image) for path in find_photos([Path(os.environ["HIFIHR_TEST_PHOTOS"])])
    }
    assert sorted(one.side for one in found["test5"]) == ["left", "right"]
    right = next(one for one in found["test5"] if one.side == "right")
    assert right.box_px[0] < 500  # the person faces us: her right hand is on our left
    flipped = mirrored(
        detect(np.ascontiguousarray(read_photo(Path(os.environ["HIFIHR_TEST_PHOTOS"]) / "test5.jpg").image[:, ::-1]))
    )
    assert sorted(one.side for one in flipped) == ["left", "right"]
