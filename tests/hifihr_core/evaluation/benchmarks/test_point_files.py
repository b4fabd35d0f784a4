"""Ground truth and predictions: read as they are, and refused with the reason where they cannot be meant."""

import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.evaluation.benchmarks.point_files import PointSets, read_ground_truth, read_predictions
from hifihr_core.evaluation.benchmarks.protocols import PROTOCOLS, find_protocol


def change(points, function):
    """Return both arrays changed; not a `PointSets`, which would refuse a wrong number of joints itself."""
    return SimpleNamespace(joints=function(points.joints), vertices=function(points.vertices))


@pytest.fixture
def benchmark(protocols, make_truth, tmp_path, write_predictions):
    """Return ``read(points, name) -> PointSets`` and the truth of FreiHAND and HO-3D."""

    def read(points, name="freihand"):
        path = write_predictions(points, tmp_path / "pred.json")
        return read_predictions(path, make_truth(name), protocols[name])

    return read


def test_ground_truth_comes_back_exactly_wherever_it_lies(protocols, make_truth, write_truth, tmp_path):
    truth = make_truth("ho3d-v3")
    write_truth(truth, tmp_path / "HO3D_v3" / "nested")
    found, protocol = read_ground_truth(tmp_path, "ho3d")
    assert protocol.name == "ho3d-v3"
    np.testing.assert_array_equal(found.joints, truth.joints)
    np.testing.assert_array_equal(found.vertices, truth.vertices)


def test_a_generated_tree_may_have_any_length(protocols, make_truth, write_truth, tmp_path):
    write_truth(make_truth("freihand", samples=2), tmp_path)
    (tmp_path / "hifihr_synthetic.json").write_text('{"synthetic": true, "stand_in_vertices": true}')
    found, protocol = read_ground_truth(tmp_path, "freihand")
    assert len(found) == 2
    assert protocol.samples is None


def test_limit_keeps_the_first_samples(protocols, make_truth, write_truth, tmp_path):
    truth = make_truth("freihand")
    found, _ = read_ground_truth(write_truth(truth, tmp_path), "freihand", limit=2)
    np.testing.assert_array_equal(found.joints, truth.joints[:2])


def test_predictions_come_back_exactly_from_json_and_zip(benchmark, make_truth, protocols, tmp_path):
    pred = change(make_truth("freihand"), lambda p: 1.1 * p)
    np.testing.assert_array_equal(benchmark(pred).vertices, pred.vertices)
    with zipfile.ZipFile(tmp_path / "pred.zip", "w") as archive:
        archive.write(tmp_path / "pred.json", "pred.json")
    zipped = read_predictions(tmp_path / "pred.zip", make_truth("freihand"), protocols["freihand"])
    np.testing.assert_array_equal(zipped.joints, pred.joints)


def test_predictions_without_vertices_are_read(benchmark, make_truth):
    assert benchmark(PointSets(make_truth("freihand").joints, None)).vertices is None


@pytest.mark.parametrize(
    ("name", "function", "reason"),
    [
        ("freihand", lambda p: p[:-1], r"4 joints entries, expected 5"),
        ("freihand", lambda p: np.concatenate((p, p[:1])), r"6 joints entries, .* is the length of ho3d-v2"),
        ("freihand", lambda p: p[:, :20], r"20 joints per sample, expected 21"),
        ("freihand", lambda p: 100 * p, r"100 times as large .* in centimetres, expected metres; divide by 100"),
        ("freihand", lambda p: 1000 * p, r"in millimetres, expected metres; divide by 1,000"),
        ("freihand", lambda p: np.where(p == p[2, 0, 0], np.nan, p), r"NaN or infinite numbers in 1 samples, .* is 2"),
        ("freihand", lambda p: np.where(p == p[4, 0, 0], np.inf, p), r"NaN or infinite"),
        ("freihand", lambda p: p * [1, -1, -1], r"all z are negative in 5 of 5 .* expected OpenCV"),
        ("ho3d-v2", lambda p: p * [1, -1, -1], r"all z are positive in 6 of 6 .* expected OpenGL"),
        ("ho3d-v2", lambda p: np.concatenate((p, p[:1])), r"7 joints entries, .* the length of ho3d-v3"),
    ],
)
def test_predictions_that_cannot_be_meant_are_refused(benchmark, make_truth, name, function, reason):
    with pytest.raises(DataError, match=reason) as caught:
        benchmark(change(make_truth(name), function), name)
    assert "pred.json" in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("function", [np.zeros_like, lambda p: 3 * p, lambda p: 0.001 * p, lambda p: p - p[:, :1]])
def test_bad_but_possible_predictions_are_read(benchmark, make_truth, function):
    assert len(benchmark(change(make_truth("freihand"), function))) == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1}', "expected"),
        ("[[], []]", "no joints"),
        ("not json", "expected"),
        ("[[[[1, 2, 3]]], [], [[[1, 2, 3]]]]", "3 lists, expected 2"),
        ("[[[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]], []]", "2 points, expected 1 as before"),
        ("[[[[1, 2, 3", "truncated"),
    ],
)
def test_foreign_files_are_refused(protocols, make_truth, tmp_path, text, reason):
    path = tmp_path / "pred.json"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        read_predictions(path, make_truth("freihand"), protocols["freihand"])


def test_a_missing_prediction_file_and_a_broken_zip_are_named(protocols, make_truth, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_predictions(tmp_path / "none.json", make_truth("freihand"), protocols["freihand"])
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.json", "[]")
        archive.writestr("b.json", "[]")
    with pytest.raises(DataError, match="2 JSON files inside"):
        read_predictions(tmp_path / "two.zip", make_truth("freihand"), protocols["freihand"])


def test_missing_and_mismatched_ground_truth_is_named(protocols, make_truth, write_truth, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_ground_truth(tmp_path / "none", "freihand")
    with pytest.raises(DataError, match=r"no evaluation_xyz\.json.*FreiHAND_pub_v2_eval\.zip"):
        read_ground_truth(tmp_path, "freihand")
    write_truth(make_truth("ho3d-v3"), tmp_path)
    with pytest.raises(DataError, match="7 entries, expected 6 for ho3d-v2; that is v3, so pass --version v3"):
        read_ground_truth(tmp_path, "ho3d", version="v2")
    with pytest.raises(DataError, match="7 entries, expected 5 for freihand"):
        read_ground_truth(tmp_path, "freihand")
    (tmp_path / "evaluation_verts.json").write_text(json.dumps(make_truth("ho3d-v2").vertices.tolist()))
    with pytest.raises(DataError, match=r"6 entries, expected 7 as in evaluation_xyz\.json"):
        read_ground_truth(tmp_path, "ho3d")
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps(np.zeros((7, 20, 3)).tolist()))
    with pytest.raises(DataError, match="sample 0: 20 points, expected 21"):
        read_ground_truth(tmp_path, "ho3d")


def test_protocols_are_found_by_name_version_and_length():
    assert find_protocol("ho3d").name == "ho3d-v2"
    assert find_protocol("ho3d", version="v3").samples == 20137
    assert find_protocol("ho3d", samples=20137).name == "ho3d-v3"
    assert PROTOCOLS["freihand"].samples == 3960
    with pytest.raises(ConfigError, match="expected one of freihand, ho3d, synth"):
        find_protocol("rhd")
    with pytest.raises(ConfigError, match="expected one of v2, v3"):
        find_protocol("ho3d", version="v4")
    with pytest.raises(ConfigError, match="leave it out"):
        find_protocol("freihand", version="v2")
