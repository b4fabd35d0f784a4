"""`hifihr prepare` and `hifihr shards` from the outside: data on stdout, messages on stderr, exit codes."""

import json

import cv2
import numpy as np
import pytest

from hifihr_core.photos import detectors
from hifihr_core.photos.detections import Detection
from hifihr_core.shards.folder import ShardSet
from hifihr_core.sources.table import SOURCES


@pytest.fixture
def data(tmp_path, monkeypatch, raw_trees):
    """A data folder with a small raw FreiHAND in its default place."""
    monkeypatch.setenv("HIFIHR_DATA", str(tmp_path / "data"))
    raw_trees.write_freihand(tmp_path / "data/raw/freihand", training=4, evaluation=2)
    return tmp_path / "data"


def test_bare_prepare_uses_the_default_folders(run_cli, data):
    ended = run_cli("prepare", "freihand", "--workers", 0)
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "folder\tsamples\tposes\tshards\tproblems"
    assert f"{data}/shards/freihand/train\t16\t4\t1\t0" in ended.out
    assert "not checked: MANO joints (the vertices of this synthetic dataset are not MANO's)" in ended.err
    assert len(ShardSet(data / "shards/freihand/evaluation")) == 2
    assert run_cli("prepare", "freihand", "--workers", 0).code == 0  # finished: nothing to do


def test_json_is_one_document(run_cli, data):
    found = json.loads(run_cli("prepare", "freihand", "--workers", 0, "--limit", 2, "--json").out)
    assert found[f"{data}/shards/freihand/train"]["samples"] == 8


def test_a_dry_run_touches_nothing(run_cli, data):
    before = sorted(data.rglob("*"))
    ended = run_cli("prepare", "freihand", "--dry-run")
    assert ended.code == 0
    assert "train\t" in ended.out
    assert json.loads(run_cli("prepare", "freihand", "--dry-run", "--json").out)[0]["poses"] == 4
    assert sorted(data.rglob("*")) == before


def test_check_prints_a_tree_and_packs_nothing(run_cli, data):
    ended = run_cli("prepare", "freihand", "--check")
    assert ended.code == 0
    assert "  ok      training_K.json" in ended.out
    assert "    ok      rgb  (16 files)" in ended.out
    assert "  passed  scale: `scale` and the length of bone 9-10 differ by up to" in ended.out
    assert "  skipped MANO joints: the vertices of this synthetic dataset" in ended.out
    assert not (data / "shards").exists()


def test_check_names_what_is_missing_and_ends_with_3(run_cli, data):
    (data / "raw/freihand/training_xyz.json").unlink()
    ended = run_cli("prepare", "freihand", "--check")
    assert ended.code == 3
    assert "  MISSING training_xyz.json" in ended.out
    assert "training_xyz.json: missing" in ended.message
    report = json.loads(run_cli("prepare", "freihand", "--check", "--json").out)
    assert report["good"] is False


@pytest.mark.parametrize("source", [name for name in SOURCES if name not in ("synth",)])
def test_missing_data_names_the_download_and_the_layout(run_cli, tmp_path, source):
    ended = run_cli("prepare", source, "--root", tmp_path / "none")
    assert ended.code == 3
    assert len(ended.err.strip().splitlines()) == 1
    assert "expected layout: ROOT/" in ended.message
    assert ("hifihr prepare synth --as" in ended.message) == (source in ("freihand", "ho3d"))
    assert "--root" in ended.message or "http" in ended.message


def test_failed_checks_stop_it_unless_forced(run_cli, data):
    target = data / "raw/freihand/training_scale.json"
    target.write_text(json.dumps([1.0] * 4))
    ended = run_cli("prepare", "freihand", "--workers", 0)
    assert ended.code == 3
    assert "error: the data is inconsistent: scale" in ended.message
    assert run_cli("prepare", "freihand", "--check").code == 3
    assert run_cli("prepare", "freihand", "--workers", 0, "--force").code == 0


def test_problems_are_warnings_until_there_are_too_many(run_cli, data):
    (data / "raw/freihand/training/rgb/00000001.jpg").unlink()
    ended = run_cli("prepare", "freihand", "--workers", 0)
    assert ended.code == 3
    assert "problems: 1 in 4 poses, expected at most 1% (gs/00000001" in ended.message
    ended = run_cli("prepare", "freihand", "--workers", 0, "--max-problems", 0.5)
    assert ended.code == 0
    assert "warning: skipped gs/00000001: training/rgb/00000001.jpg: missing" in ended.err


def test_another_plan_asks_for_overwrite(run_cli, data):
    assert run_cli("prepare", "freihand", "--workers", 0, "--limit", 1).code == 0
    ended = run_cli("prepare", "freihand", "--workers", 0)
    assert ended.code == 3
    assert "choose another --out, or replace them with --overwrite" in ended.message
    assert run_cli("prepare", "freihand", "--workers", 0, "--overwrite").code == 0


def test_wrong_words_are_usage_errors(run_cli, tmp_path):
    ended = run_cli("prepare", "frehand")
    assert (ended.code, "did you mean freihand?" in ended.message) == (2, True)
    ended = run_cli("prepare", "rhd", "--keypoints", tmp_path / "x.json")
    assert (ended.code, "--keypoints is an option of `images`" in ended.message) == (2, True)
    ended = run_cli("prepare", "images", "--detector", "yolo", "--root", tmp_path)
    assert (ended.code, "expected one of auto, fast, thorough, none" in ended.message) == (2, True)


def test_a_malicious_meta_ends_with_3_and_runs_nothing(run_cli, tmp_path, raw_trees):
    raw_trees.write_ho3d(tmp_path / "raw")
    (tmp_path / "raw/train/ABF10/meta/0000.pkl").write_bytes(b"cos\nmkdir\n(S'" + bytes(tmp_path / "owned") + b"'\ntR.")
    ended = run_cli("prepare", "ho3d", "--root", tmp_path / "raw", "--out", tmp_path / "out", "--workers", 0)
    assert ended.code == 3
    assert "requests os.mkdir" in ended.message
    assert not (tmp_path / "owned").exists()


def test_photos_with_keypoints_become_samples(run_cli, tmp_path, raw_trees):
    raw_trees.write(tmp_path / "photos/trip/a.jpg", raw_trees.picture(1, 900, 700))
    raw_trees.write(tmp_path / "photos/b.png", raw_trees.picture(2, 300, 200))
    raw_trees.write(tmp_path / "photos/c.jpg", raw_trees.picture(3, 300, 200))
    points = raw_trees.right_hand()[:, :2] * 2500 + (450, 350)
    rows = np.concatenate((points, np.full((21, 1), 0.8)), axis=1)
    rows[3] = 0
    hands = [{"keypoints": rows.tolist(), "side": "left"}, {"keypoints": rows.tolist()}]
    (tmp_path / "photos/keypoints.json").write_text(json.dumps({"trip/a.jpg": hands}))
    person = {"hand_left_keypoints_2d": [0] * 63, "hand_right_keypoints_2d": (rows / 3).ravel().tolist()}
    (tmp_path / "photos/b_keypoints.json").write_text(json.dumps({"people": [person]}))
    words = ("prepare", "images", "--root", tmp_path / "photos", "--out", tmp_path / "out", "--workers", 0)
    words += ("--detector", "none")
    assert run_cli(*words).code == 3  # one of three photos has no keypoints
    ended = run_cli(*words, "--max-problems", 0.5)
    assert ended.code == 0
    assert "skipped c.jpg: no keypoints" in ended.err
    right, left, other = sorted(ShardSet(tmp_path / "out/train"), key=lambda sample: sample.key)
    assert (right.key, left.key, other.key) == ("b.png#0", "trip/a.jpg#0", "trip/a.jpg#1")
    check_photo(left, rows, raw_trees.picture(1, 900, 700)[:, ::-1], mirrored_width=900)
    check_photo(other, rows, raw_trees.picture(1, 900, 700))


def test_a_detector_finds_the_hands_of_photos_without_keypoints(run_cli, tmp_path, raw_trees, monkeypatch):
    raw_trees.write(tmp_path / "photos/a.jpg", raw_trees.picture(1, 300, 200))
    points = raw_trees.right_hand()[:, :2] * 800 + (150, 100)
    found = Detection(np.array([100.0, 50, 200, 150]), 0.9, "right", points.astype(np.float64), np.full(21, 0.9))
    rows = {"fast": detectors.DetectorRow("found", lambda **options: lambda image: [found])}
    monkeypatch.setattr(detectors, "DETECTORS", rows)
    words = ("prepare", "images", "--root", tmp_path / "photos", "--out", tmp_path / "out", "--workers", 0)
    assert run_cli(*words, "--detector", "fast").code == 0
    [sample] = ShardSet(tmp_path / "out/train")
    assert sample.key == "a.jpg#0"
    np.testing.assert_allclose(sample.labels["keypoints_confidence"], 0.9, atol=1e-6)


def check_photo(sample, rows, picture, mirrored_width=None):
    """The crop shows what the picture shows around its keypoints; those not found stay at (0, 0)."""
    crop = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
    points = rows[:, :2].copy()
    if mirrored_width:
        points[:, 0] = mirrored_width - points[:, 0]
    found = rows[:, 2] > 0
    moved = sample.labels["keypoints_px"][found].astype(np.float64)
    scale = (moved[8] - moved[0])[1] / (points[found][8] - points[found][0])[1]
    shift = moved[0] - scale * points[found][0]
    assert np.allclose(moved, scale * points[found] + shift, atol=1)
    assert not sample.labels["keypoints_px"][~found].any()
    assert sample.K[0, 0] / sample.K[1, 1] == pytest.approx(1, abs=0.01)
    whole = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x, y = np.round(-shift).astype(int)
    same = whole[y : y + crop.shape[0], x : x + crop.shape[1]]
    height, width = min(same.shape[0], crop.shape[0]), min(same.shape[1], crop.shape[1])
    assert height > crop.shape[0] - 3
    assert np.abs(same[:height, :width].astype(int) - crop[:height, :width]).mean() < 6


class TestShards:
    @pytest.fixture
    def folder(self, run_cli, data):
        run_cli("prepare", "freihand", "--workers", 0)
        return data / "shards"

    def test_info_says_what_is_there(self, run_cli, folder):
        ended = run_cli("shards", "info", folder)
        assert ended.code == 0
        assert "freihand v2, train, non-commercial, written by hifihr" in ended.out
        assert "samples 16, poses 4, shards 1 (" in ended.out
        assert "joints_cam\t21x3\tannotations\t4" in ended.out
        found = json.loads(run_cli("shards", "info", folder / "freihand/train", "--json").out)
        assert found[f"{folder}/freihand/train"]["facts"]["mano_stand_in"] is True

    def test_verify_accepts_intact_shards(self, run_cli, folder):
        ended = run_cli("shards", "verify", folder)
        assert (ended.code, "all checksums match in 2 shard folders" in ended.out) == (0, True)

    def test_verify_ends_with_3_where_a_byte_changed(self, run_cli, folder):
        path = folder / "freihand/train/train-00000.h5"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        ended = run_cli("shards", "verify", folder)
        assert ended.code == 3
        assert "differs from the one that was prepared" in ended.err
        assert json.loads(run_cli("shards", "verify", folder, "--json").out)["differences"]

    def test_a_folder_without_shards_is_named(self, run_cli, tmp_path):
        ended = run_cli("shards", "info", tmp_path)
        assert (ended.code, "expected a finished shard folder" in ended.message) == (3, True)
