import os
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import ConfigError, DeviceError
from hifihr_core.photos import detectors, mediapipe_hands
from hifihr_core.photos.detections import mirrored
from hifihr_core.photos.detectors import build_detector, choose_detector, detect, whole_image
from hifihr_core.photos.finding import find_photos
from hifihr_core.photos.reading import Photo, read_photo


def test_the_whole_image_is_a_hand_of_unknown_side() -> None:
    [hand] = whole_image(np.zeros((30, 40, 3), dtype=np.uint8))
    np.testing.assert_array_equal(hand.box_px, [0, 0, 40, 30])
    assert hand.side is None


def test_what_is_found_in_a_reduced_photo_is_in_pixels_of_the_photo() -> None:
    [hand] = detect(Photo(None, np.zeros((30, 40, 3), dtype=np.uint8), (80, 90)), whole_image)
    np.testing.assert_array_equal(hand.box_px, [0, 0, 80, 90])


def test_an_unknown_detector_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="mediapipe"):
        build_detector("yolo")


def test_auto_takes_the_best_that_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "first": detectors.DetectorRow("cannot run", lambda: whole_image, why_not=lambda: "no such package"),
        "second": detectors.DetectorRow("can", lambda: whole_image),
    }
    monkeypatch.setattr(detectors, "DETECTORS", rows)
    assert choose_detector("auto") == "second"
    assert choose_detector("first") == "first"


def test_mediapipe_that_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediapipe_hands, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="pip install"):
        build_detector("mediapipe")


@pytest.mark.skipif("HIFIHR_TEST_PHOTOS" not in os.environ, reason="HIFIHR_TEST_PHOTOS names no folder of photos")
def test_mediapipe_finds_the_hands_of_real_photos() -> None:
    pytest.importorskip("mediapipe")
    detect = build_detector("mediapipe")
    found = {
        path.stem: detect(read_photo(path).image)
        for path in find_photos([Path(os.environ["HIFIHR_TEST_PHOTOS"])]).photos
    }
    assert sorted(one.side for one in found["test5"]) == ["left", "right"]
    right = next(one for one in found["test5"] if one.side == "right")
    assert right.box_px[0] < 500  # the person faces us: her right hand is on our left
    flipped = mirrored(
        detect(np.ascontiguousarray(read_photo(Path(os.environ["HIFIHR_TEST_PHOTOS"]) / "test5.jpg").image[:, ::-1]))
    )
    assert sorted(one.side for one in flipped) == ["left", "right"]
