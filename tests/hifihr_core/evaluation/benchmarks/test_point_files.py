"""Ground truth and predictions: read unchanged, or rejected with the reason if they are implausible."""

import json
import zipfile
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.evaluation.benchmarks.point_files import PointSets, read_ground_truth, read_predictions
from hifihr_core.evaluation.benchmarks.table import BENCHMARKS, find_benchmark
from hifihr_core.evaluation.run import evaluate_files, truth_licence
from hifihr_core.sources.marker import MARKER_NAME


def change(points, function):
    """Return both arrays, changed; not a `PointSets`, which itself rejects a wrong number of joints."""
    return SimpleNamespace(joints=function(points.joints), vertices=function(points.vertices))


@pytest.fixture
def benchmark(benchmarks, make_truth, tmp_path, write_predictions):
    """Return ``read(points, name) -> PointSets`` and the truth of FreiHAND and HO-3D."""

    def read(points, name="freihand"):
        path = write_predictions(points, tmp_path / "pred.json")
        return read_predictions(path, make_truth(name), benchmarks[name])

    return read


def test_ground_truth_is_read_exactly_wherever_it_is(benchmarks, make_truth, write_truth, tmp_path):
    truth = make_truth("ho3d-v3")
    write_truth(truth, tmp_path / "HO3D_v3" / "nested")
    found, benchmark = read_ground_truth(tmp_path, "ho3d")
    assert benchmark.name == "ho3d-v3"
    np.testing.assert_array_equal(found.joints, truth.joints)
    np.testing.assert_array_equal(found.vertices, truth.vertices)


def test_a_generated_dataset_may_have_any_length(benchmarks, make_truth, write_truth, tmp_path):
    write_truth(make_truth("freihand", samples=2), tmp_path)
    (tmp_path / "hifihr_synthetic.json").write_text('{"synthetic": true, "stand_in_vertices": true}')
    found, benchmark = read_ground_truth(tmp_path, "freihand")
    assert len(found) == 2
    assert benchmark.samples is None


def test_limit_keeps_the_first_samples(benchmarks, make_truth, write_truth, tmp_path):
    truth = make_truth("freihand")
    found, _ = read_ground_truth(write_truth(truth, tmp_path), "freihand", limit=2)
    np.testing.assert_array_equal(found.joints, truth.joints[:2])


def test_predictions_come_back_exactly_from_json_and_zip(benchmark, make_truth, benchmarks, tmp_path):
    pred = change(make_truth("freihand"), lambda p: 1.1 * p)
    np.testing.assert_array_equal(benchmark(pred).vertices, pred.vertices)
    with zipfile.ZipFile(tmp_path / "pred.zip", "w") as archive:
        archive.write(tmp_path / "pred.json", "pred.json")
    zipped = read_predictions(tmp_path / "pred.zip", make_truth("freihand"), benchmarks["freihand"])
    np.testing.assert_array_equal(zipped.joints, pred.joints)


def test_predictions_without_vertices_are_read(benchmark, make_truth):
    assert benchmark(PointSets(make_truth("freihand").joints, None)).vertices is None


@pytest.mark.parametrize(
    ("name", "function", "reason"),
    [
        ("freihand", lambda p: p[:-1], r"entries of joints: 4, expected 5"),
        ("freihand", lambda p: np.concatenate((p, p[:1])), r"entries of joints: 6, .* is the length of ho3d-v2"),
        ("freihand", lambda p: p[:, :20], r"20 joints per sample, expected 21"),
        ("freihand", lambda p: 100 * p, r"100 times as large .* in centimetres, expected metres; divide by 100"),
        ("freihand", lambda p: 1000 * p, r"in millimetres, expected metres; divide by 1,000"),
        (
            "freihand",
            lambda p: np.where(p == p[2, 0, 0], np.nan, p),
            r"NaN or infinite numbers: 1, the first is sample 2",
        ),
        ("freihand", lambda p: np.where(p == p[4, 0, 0], np.inf, p), r"NaN or infinite"),
        ("freihand", lambda p: p * [1, -1, -1], r"all z are negative in 5 of 5 .* expected OpenCV"),
        ("ho3d-v2", lambda p: p * [1, -1, -1], r"all z are positive in 6 of 6 .* expected OpenGL"),
        ("ho3d-v2", lambda p: np.concatenate((p, p[:1])), r"entries of joints: 7, .* the length of ho3d-v3"),
    ],
)
def test_implausible_predictions_are_refused(benchmark, make_truth, name, function, reason):
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
        ("[[[[1, 2, 3]]], [], [[[1, 2, 3]]]]", "lists: 3, expected 2"),
        ("[[[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]], []]", "2 points, expected 1 as in earlier samples"),
        ("[[[[1, 2, 3", "truncated"),
    ],
)
def test_foreign_files_are_refused(benchmarks, make_truth, tmp_path, text, reason):
    path = tmp_path / "pred.json"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        read_predictions(path, make_truth("freihand"), benchmarks["freihand"])


def test_a_missing_prediction_file_and_a_broken_zip_are_named(benchmarks, make_truth, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_predictions(tmp_path / "none.json", make_truth("freihand"), benchmarks["freihand"])
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.json", "[]")
        archive.writestr("b.json", "[]")
    with pytest.raises(DataError, match="contains 2 JSON files"):
        read_predictions(tmp_path / "two.zip", make_truth("freihand"), benchmarks["freihand"])


def test_missing_and_mismatched_ground_truth_is_named(benchmarks, make_truth, write_truth, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_ground_truth(tmp_path / "none", "freihand")
    with pytest.raises(DataError, match=r"no evaluation_xyz\.json.*FreiHAND_pub_v2_eval\.zip"):
        read_ground_truth(tmp_path, "freihand")
    write_truth(make_truth("ho3d-v3"), tmp_path)
    with pytest.raises(
        DataError, match="7 entries, expected 6 for ho3d-v2; 7 is the length of v3, so pass --version v3"
    ):
        read_ground_truth(tmp_path, "ho3d", version="v2")
    (tmp_path / "evaluation_verts.json").write_text(json.dumps(make_truth("ho3d-v2").vertices.tolist()))
    with pytest.raises(DataError, match=r"6 entries, expected 7 as in evaluation_xyz\.json"):
        read_ground_truth(tmp_path, "ho3d")
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps(np.zeros((7, 20, 3)).tolist()))
    with pytest.raises(DataError, match="sample 0: 20 points, expected 21"):
        read_ground_truth(tmp_path, "ho3d")


def test_protocols_are_found_by_name_version_and_length():
    assert find_benchmark("ho3d").name == "ho3d-v2"
    assert find_benchmark("ho3d", version="v3").samples == 20137
    assert find_benchmark("ho3d", samples=20137).name == "ho3d-v3"
    assert BENCHMARKS["freihand"].samples == 3960
    assert find_benchmark("rhd").name == "rhd"  # measured by its own split
    with pytest.raises(ConfigError, match="expected one of freihand, ho3d, synth"):
        find_benchmark("hands")
    with pytest.raises(ConfigError, match="expected one of v2, v3"):
        find_benchmark("ho3d", version="v4")
    with pytest.raises(ConfigError, match="freihand has no such version; it has only one, so leave the option out"):
        find_benchmark("freihand", version="v2")


def test_a_ground_truth_of_another_length_is_scored_unofficially(benchmarks, make_truth, write_truth, tmp_path):
    write_truth(make_truth("freihand", samples=3), tmp_path)
    truth, benchmark = read_ground_truth(tmp_path, "freihand")
    assert (len(truth), benchmark.samples) == (3, None)
    write_predictions_of(truth, tmp_path / "pred.json")
    evaluation = evaluate_files(tmp_path / "pred.json", tmp_path, "freihand")
    assert evaluation.document["protocol"]["complete"] is False
    assert any("not the official one (samples: 3, official: 5)" in note for note in evaluation.document["notes"])
    with pytest.raises(DataError, match=r"3 entries, expected 6 for ho3d-v2; .*drop --version"):
        read_ground_truth(tmp_path, "ho3d", version="v2")


def test_the_licence_is_that_of_the_source_or_of_the_generated_dataset(benchmarks, make_truth, write_truth, tmp_path):
    write_truth(make_truth("freihand"), tmp_path)
    for marker, licence in ((None, "non-commercial"), (True, "free"), (False, "gated")):
        if marker is not None:
            text = json.dumps({"synthetic": True, "stand_in_vertices": marker})
            (tmp_path / MARKER_NAME).write_text(text)
        assert truth_licence(tmp_path, "freihand") == licence


def write_predictions_of(truth, path):
    path.write_text(json.dumps([truth.joints.tolist(), truth.vertices.tolist()]))


@pytest.fixture
def zipped(benchmarks, make_truth, tmp_path):
    """Return ``zipped({name: text}) -> PointSets``: what is read from a zip with these members."""
    truth = make_truth("freihand")
    text = json.dumps([truth.joints.tolist(), truth.vertices.tolist()])

    def read(members):
        with zipfile.ZipFile(tmp_path / "pred.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, text if content is None else content)
        return read_predictions(tmp_path / "pred.zip", truth, benchmarks["freihand"])

    return read


def test_zips_of_finder_and_powershell_are_read(zipped):
    assert len(zipped({"pred.json": None, "__MACOSX/._pred.json": "junk", "._pred.json": "junk", ".DS_Store": ""})) == 5
    assert len(zipped({"out\\pred.json": None, "out\\notes.json": "{}"})) == 5
    with pytest.raises(DataError, match="contains 2 JSON files, expected only"):
        zipped({"a.json": None, "b.json": None})


def test_every_damaged_zip_is_refused_in_one_line(zipped, benchmarks, make_truth, tmp_path):
    zipped({"pred.json": None})
    path = tmp_path / "pred.zip"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged[: int(rng.integers(len(whole) // 2, len(whole) + 1))])
        with suppress(DataError):
            read_predictions(path, make_truth("freihand"), benchmarks["freihand"])
            continue
        refused += 1
    assert refused > 30


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [(6, 1, "encrypted; unpack the zip and pass its"), (8, 9, "compression method; unpack the zip and pass its")],
)
def test_errors_about_unsupported_zips_name_the_remedy(zipped, benchmarks, make_truth, tmp_path, offset, value, reason):
    zipped({"pred.json": None})
    content = bytearray((tmp_path / "pred.zip").read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[offset], content[directory + offset + 2] = value, value
    (tmp_path / "pred.zip").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_predictions(tmp_path / "pred.zip", make_truth("freihand"), benchmarks["freihand"])


def test_hostile_numbers_and_nesting_are_refused(benchmarks, make_truth, tmp_path):
    path = tmp_path / "pred.json"
    for text in ("[" * 100_000, "[[[" + "9" * 6000 + "]]]", "[[[[" + "1e999, " * 3 + "1" + "]]]]"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"pred\.json"):
            read_predictions(path, make_truth("freihand"), benchmarks["freihand"])


def test_a_byte_order_mark_is_skipped(benchmarks, make_truth, tmp_path):
    truth = make_truth("freihand")
    text = json.dumps([truth.joints.tolist(), truth.vertices.tolist()])
    (tmp_path / "pred.json").write_text(text, encoding="utf-8-sig")
    assert len(read_predictions(tmp_path / "pred.json", truth, benchmarks["freihand"])) == 5
