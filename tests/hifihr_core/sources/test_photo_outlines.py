from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hifihr_core.photos.detections import Detection
from hifihr_core.photos.detectors import build_detector, detect
from hifihr_core.photos.reading import Photo, as_photo, read_photo
from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.packing import pack_split
from hifihr_core.sources import photo_outlines
from hifihr_core.sources.contract import Request
from hifihr_core.sources.images import open_images
from hifihr_core.sources.photo_outlines import Outline, Outliner
from hifihr_core.stream.datasets import carried_labels

PHOTO = Path(__file__).parents[3] / "examples" / "hand.jpg"


@pytest.fixture
def unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept hands like the drawn one, of which the eyes are less sure than of real ones."""
    monkeypatch.setattr(photo_outlines, "LEAST_CONFIDENCE", 0.3)


@pytest.fixture(scope="module")
def photo() -> Photo:
    return read_photo(PHOTO)


@pytest.fixture(scope="module")
def outliner() -> Outliner:
    return Outliner.load()


@pytest.fixture(scope="module")
def hand(photo: Photo) -> Detection:
    [found] = detect(photo, build_detector("fast"))
    return found


def _outline(outliner: Outliner, photo: Photo, hand: Detection) -> Outline:
    [outline] = outliner(photo, [hand])
    assert outline is not None
    return outline


@pytest.mark.usefixtures("unsure")
def test_a_hand_in_plain_view_has_an_outline_around_its_joints(
    outliner: Outliner, photo: Photo, hand: Detection
) -> None:
    outline = _outline(outliner, photo, hand)
    assert outline.trusted
    assert outline.mask.shape == photo.image.shape[:2]
    x0, y0, x1, y1 = hand.box_px
    rows, columns = np.nonzero(outline.mask)
    margin = 0.35 * max(x1 - x0, y1 - y0)
    assert x0 - margin < columns.min() < columns.max() < x1 + margin
    assert y0 - margin < rows.min() < rows.max() < y1 + margin
    assert (outline.outside, outline.shared) == (0.0, 0.0)


@pytest.mark.usefixtures("unsure")
def test_a_hand_that_the_border_cuts_is_not_trusted(outliner: Outliner, photo: Photo, hand: Detection) -> None:
    cut = as_photo(np.ascontiguousarray(photo.image[:, : int(hand.box_px[[0, 2]].mean())]))
    outline = _outline(outliner, cut, hand)
    assert outline.outside > 0.2
    assert not outline.trusted


@pytest.mark.usefixtures("unsure")
def test_a_hand_under_another_one_is_not_trusted(outliner: Outliner, photo: Photo, hand: Detection) -> None:
    first, second = outliner(photo, [hand, hand])
    assert first is not None
    assert second is not None
    assert min(first.shared, second.shared) > 0.8
    assert not first.trusted


def test_only_hands_that_the_eyes_saw_are_outlined(outliner: Outliner, photo: Photo, hand: Detection) -> None:
    of_a_file = replace(hand, seen=None)
    first, second = outliner(photo, [of_a_file, hand])
    assert first is None
    assert second is not None
    assert outliner(photo, [of_a_file]) == [None]


@pytest.mark.parametrize(
    "worse", [{"iou": 0.7}, {"on_mask": 0.9}, {"confidence": 0.5}, {"outside": 0.03}, {"shared": 0.06}]
)
def test_each_doubt_is_enough(worse: dict[str, float]) -> None:
    good = Outline(np.ones((2, 2), bool), iou=0.9, on_mask=1.0, confidence=0.8, outside=0.0, shared=0.0)
    assert good.trusted
    assert not replace(good, **worse).trusted


@pytest.mark.usefixtures("unsure")
@pytest.mark.parametrize("mirrored", [False, True])
def test_shards_of_photos_hold_outlines_and_joints_that_weak_supervision_reads(tmp_path, photo, mirrored) -> None:
    (tmp_path / "photos").mkdir()
    pixels = photo.image[:, ::-1] if mirrored else photo.image
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), pixels[..., ::-1])
    (split,) = open_images(Request(tmp_path / "photos", options={"detector": "fast"}))
    pack_split(split, tmp_path / "out")
    shards = ShardSet(tmp_path / "out")
    assert {"mask", "joints_px", "keypoints_px"} <= carried_labels(shards)
    [sample] = shards
    picture = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
    mask = cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE) > 0
    assert mask.shape == picture.shape[:2]
    joints_px = sample.labels["joints_px"]
    np.testing.assert_array_equal(joints_px, sample.labels["keypoints_px"])
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8))
    columns, rows = joints_px.astype(int).T
    assert near[rows, columns].mean() > 0.9


def test_outlines_can_be_left_out(tmp_path, photo) -> None:
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), photo.image[..., ::-1])
    (split,) = open_images(Request(tmp_path / "photos", options={"detector": "fast", "outlines": False}))
    [sample] = split.read(0, 1)
    assert sample.mask is None
    assert "joints_px" not in sample.labels
