"""Keypoint files: ours, OpenPose's, and others; photos without the command line."""

import json

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.geometry.lenses import default_focal_px
from hifihr_core.hands import load_hand
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.seen_hands import as_detection
from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.packing import pack_split
from hifihr_core.sources import images
from hifihr_core.sources.contract import Request
from hifihr_core.sources.images import open_images
from hifihr_core.sources.keypoint_files import read_keypoint_file, read_openpose_photo, stage_detections
from hifihr_core.sources.prepare import prepare
from hifihr_core.sources.raw.raw_tree import RawFile

ROWS = np.concatenate((np.arange(42).reshape(21, 2) * 3.0 + 20, np.full((21, 1), 0.5)), axis=1)


def test_our_file_keeps_points_sides_and_cameras(tmp_path):
    K = [[500, 0, 100], [0, 500, 80], [0, 0, 1]]
    path = tmp_path / "k.json"
    path.write_text(json.dumps({"a.jpg": [{"keypoints": ROWS.tolist(), "side": "left", "K": K}], "b.jpg": []}))
    found = read_keypoint_file(path)
    (hand,) = found["a.jpg"]
    assert (hand.side, hand.K.tolist()) == ("left", K)
    assert np.array_equal(hand.keypoints_px, ROWS[:, :2])  # corners, not whole pixels
    assert hand.resized(0.5).K[0].tolist() == [250, 0, 50]
    assert found["b.jpg"] == ()


def test_openpose_names_whole_pixels(tmp_path):
    path = tmp_path / "k.json"
    peaks = ROWS[None, :, :2].astype(int)
    path.write_text(json.dumps([peaks.tolist(), np.ones((1, 21, 1)).tolist(), [["x/a.jpg"]]]))
    assert np.array_equal(read_keypoint_file(path)["a.jpg"][0].keypoints_px, peaks[0] + 0.5)
    path.write_text(json.dumps([peaks.tolist(), np.ones((1, 21, 1)).tolist()]))
    with pytest.raises(DataError, match="without file names"):
        read_keypoint_file(path)


@pytest.mark.parametrize(
    "text",
    ["[", "[[1]]", "[[[[1, 2]]], [[1]]]", '{"a": [{"keypoints": [[1, 2, 3]]}]}', '{"a": [{"side": "up"}]}', '{"a": 3}'],
)
def test_a_file_that_is_not_a_keypoint_file_is_named(tmp_path, text):
    path = tmp_path / "k.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"k\.json"):
        read_keypoint_file(path)
    with pytest.raises(DataError, match=r"k\.json"):
        stage_detections(RawFile(path), tmp_path / "staged")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[[1, 2]], [[1]]]", r"not OpenPose keypoints \(number of values in an entry: 2\), expected a list"),
        ("[[], []]", "number of peaks 0, of values 0, of names 0; expected equal numbers of at least 1"),
    ],
)
def test_what_openpose_did_not_write_is_said(tmp_path, text, said):
    path = tmp_path / "k.json"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        stage_detections(RawFile(path), tmp_path / "staged")


def test_missing_folders_files_and_hands_of_photos_are_named(tmp_path, raw_trees, monkeypatch):
    monkeypatch.setattr(images, "build_detector", lambda name: lambda image: [])
    raw_trees.write(tmp_path / "photos/a.png", raw_trees.picture(0, 300, 200))
    options = {"detector": "fast", "keypoints": tmp_path / "mine.json"}
    state = {
        part.path: (part.state, part.detail)
        for part in images.inspect_images(Request(tmp_path / "photos", options=options))
    }
    assert state["photos"] == ("present", "1 file")
    assert state[str(tmp_path / "mine.json")] == ("missing", "")
    (split,) = open_images(Request(tmp_path / "photos", options={"detector": "fast"}))
    [problem] = split.read(0, 1)
    assert problem.reason.startswith("the detector fast found no hand; add keypoints to keypoints.json")
    with pytest.raises(DataError, match=r"a\.png: a file, expected a folder with photos"):
        images.find_photos(tmp_path / "photos/a.png")
    with pytest.raises(
        DataError, match=r"nowhere: no such folder, expected a folder with photos; .*with --root; exp"
    ) as e:
        prepare(images.IMAGES, Request(tmp_path / "nowhere"), tmp_path / "out")
    assert str(e.value).count(images.DOWNLOAD) == 1


def test_openpose_beside_a_photo(tmp_path):
    photo = tmp_path / "a.jpg"
    assert read_openpose_photo(photo) == ()
    beside = tmp_path / "a_keypoints.json"
    person = {"hand_right_keypoints_2d": ROWS.ravel().tolist(), "hand_left_keypoints_2d": [0] * 63}
    beside.write_text(json.dumps({"people": [person, {}]}))
    (hand,) = read_openpose_photo(photo)
    assert hand.side == "right"
    beside.write_text(json.dumps({"persons": []}))
    with pytest.raises(DataError, match="no list of people"):
        read_openpose_photo(photo)


def test_a_detector_is_asked_where_no_file_knows(tmp_path, raw_trees, monkeypatch):
    box = np.array([0.0, 0.0, 90.0, 90.0])
    found = [Detection(box, 0.9, "left", ROWS[:, :2]), Detection(box)]
    monkeypatch.setattr(images, "build_detector", lambda name: lambda image: found)
    raw_trees.write(tmp_path / "photos/a.png", raw_trees.picture(0, 300, 200))
    (split,) = open_images(Request(tmp_path / "photos", options={"detector": "fast"}))
    pack_split(split, tmp_path / "out")
    (sample,) = ShardSet(tmp_path / "out")
    assert (sample.key, sample.side) == ("a.png#0", "left")
    expected = 300 - ROWS[:, 0]
    moved = sample.labels["keypoints_px"][:, 0]
    assert np.allclose(moved - moved[0], expected - expected[0])
    assert np.allclose(sample.K[0, 0], default_focal_px(300, 200))


def test_joints_that_the_eyes_saw_move_to_where_labels_define_them():
    hand = load_hand("anny")
    joints_px = 100 + 1000 * hand.joints_of(hand.mean_parameters(1))[..., :2]
    eyes_px = as_seen(joints_px, hand.joint_definition)[0].numpy()
    zeros = np.zeros(21)
    seen = SeenHand(eyes_px, zeros, np.zeros((21, 3)), zeros, zeros + 0.9, 0.9, "right", 0.9)
    found = images.as_labels(as_detection(seen))
    assert np.abs(eyes_px - joints_px[0].numpy()).max() > 5
    assert np.allclose(found.keypoints_px, joints_px[0], atol=1e-3)
    assert np.array_equal(found.box_px, seen.box_px)
    of_a_file = Detection(seen.box_px, 0.9, "right", eyes_px)
    assert images.as_labels(of_a_file) is of_a_file


def test_a_keypoint_file_for_other_photos_is_refused(tmp_path, raw_trees):
    raw_trees.write(tmp_path / "photos/a.png", raw_trees.picture(0, 300, 200))
    (tmp_path / "photos/keypoints.json").write_text(json.dumps({"other.png": []}))
    with pytest.raises(DataError, match=r"match none of the photos \(entry 'other\.png', photo 'a\.png'\)"):
        open_images(Request(tmp_path / "photos"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no photo found"):
        open_images(Request(tmp_path / "empty"))


def test_a_hand_that_cannot_be_in_its_photo_is_a_problem(tmp_path, raw_trees):
    raw_trees.write(tmp_path / "photos/a.png", raw_trees.picture(0, 300, 200))
    normalised = (ROWS * [1 / 300, 1 / 200, 1]).tolist()
    (tmp_path / "photos/keypoints.json").write_text(json.dumps({"a.png": [{"keypoints": normalised}]}))
    (split,) = open_images(Request(tmp_path / "photos"))
    [problem] = split.read(0, 1)
    assert "normalised" in problem.reason
