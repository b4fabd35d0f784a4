"""The submission file: frame, order and bytes."""

import json
import zipfile

import numpy as np

from hifihr_core.evaluation.benchmarks.point_files import PointSets, read_predictions
from hifihr_core.evaluation.benchmarks.submission import anchor_root, to_submission, write_submission
from hifihr_core.evaluation.benchmarks.table import BENCHMARKS
from hifihr_core.skeleton import gather_from


def test_ho3d_flips_joints_and_vertices_and_reorders_joints():
    joints, vertices = np.arange(63.0).reshape(1, 21, 3), np.ones((1, 778, 3))
    there = to_submission(joints, vertices, BENCHMARKS["ho3d-v2"])
    np.testing.assert_array_equal(there.vertices, np.broadcast_to([1.0, -1.0, -1.0], (1, 778, 3)))
    back = there.joints[:, list(gather_from("ho3d"))] * [1, -1, -1]
    np.testing.assert_array_equal(back, joints)
    np.testing.assert_array_equal(there.joints[0, 4], joints[0, 9] * [1, -1, -1])
    np.testing.assert_array_equal(there.joints[0, 16], joints[0, 4] * [1, -1, -1])


def test_freihand_stays_as_it_is():
    joints = np.random.default_rng(0).normal(size=(2, 21, 3)).astype(np.float32)
    there = to_submission(joints, None, BENCHMARKS["freihand"])
    np.testing.assert_array_equal(there.joints, joints)
    assert there.vertices is None


def test_anchoring_moves_joints_and_vertices_together():
    rng = np.random.default_rng(0)
    points, given = PointSets(rng.normal(size=(2, 21, 3)), rng.normal(size=(2, 5, 3))), rng.normal(size=(2, 3))
    moved = anchor_root(points, given, joint=0)
    np.testing.assert_allclose(moved.joints[:, 0], given)
    np.testing.assert_allclose(moved.vertices - moved.joints[:, :1], points.vertices - points.joints[:, :1])


def test_the_zip_reads_back_and_is_the_same_every_time(benchmarks, make_truth, tmp_path):
    truth = make_truth("ho3d-v2")
    for name in ("a.zip", "b.zip"):
        write_submission(tmp_path / name, truth)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    back = read_predictions(tmp_path / "a.zip", truth, benchmarks["ho3d-v2"])
    np.testing.assert_allclose(back.vertices, truth.vertices, rtol=0, atol=5.1e-9)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["pred.json"]
        xyz, verts = json.loads(archive.read("pred.json"))
    assert np.shape(xyz) == (6, 21, 3)
    assert np.shape(verts) == (6, 778, 3)


def test_without_vertices_the_second_list_is_empty(tmp_path):
    write_submission(tmp_path / "pred.zip", PointSets(np.zeros((2, 21, 3)), None))
    with zipfile.ZipFile(tmp_path / "pred.zip") as archive:
        assert json.loads(archive.read("pred.json"))[1] == []
