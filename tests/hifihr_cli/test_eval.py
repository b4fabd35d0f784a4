"""`hifihr eval`: tables, JSON, files and exit codes."""

import json

import numpy as np
import pytest

from hifihr_core.evaluation.benchmarks import table as table_module


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """Return a folder with the ground truth of a FreiHAND with four samples, and a `pred.json` beside it."""
    from dataclasses import replace

    table = {name: replace(row, samples=4 if row.samples else None) for name, row in table_module.BENCHMARKS.items()}
    table["ho3d-v3"] = replace(table["ho3d-v3"], samples=5)
    monkeypatch.setattr(table_module, "BENCHMARKS", table)
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(4, 778, 3)) * 0.04 + [0, 0, 0.7]
    joints = vertices[:, ::38][:, :21]
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "evaluation_xyz.json").write_text(json.dumps(joints.tolist()))
    (tmp_path / "gt" / "evaluation_verts.json").write_text(json.dumps(vertices.tolist()))
    pred = [(joints + 0.003).tolist(), (vertices + 0.003).tolist()]
    (tmp_path / "pred.json").write_text(json.dumps(pred))
    return tmp_path


@pytest.fixture
def score(benchmark, run_cli):
    def run(*words, dataset="freihand"):
        return run_cli(
            "eval",
            *("--dataset", dataset, "--predictions", benchmark / "pred.json", "--gt", benchmark / "gt"),
            *("--out", benchmark / "out", *words),
        )

    return run


def test_prints_millimetres_and_writes_a_report(score, benchmark):
    done = score()
    assert done.code == 0
    assert done.out.splitlines()[1].split("\t")[:2] == ["unaligned", "5.20"]
    assert {path.name for path in (benchmark / "out").iterdir()} == {"metrics.json", "pck.png", "samples.html"}


def test_json_holds_the_official_keys(score):
    document = json.loads(score("--json").out)
    assert document["official"]["xyz_mean3d"] == pytest.approx(0.3 * np.sqrt(3))
    assert document["official"]["f_al_score_5"] == 1
    assert document["protocol"]["complete"] is True
    assert len(document["predictions"]["sha256"]) == 64


def test_fail_under_ends_with_1_after_the_report(score, benchmark):
    done = score("--fail-under", "mpjpe_mm=5", "--fail-under", "pa_f5=0.5")
    assert done.code == 1
    assert "mpjpe_mm is 5.196, more than 5" in done.message
    assert (benchmark / "out" / "metrics.json").exists()
    assert score("--fail-under", "mpjpe_mm=6").code == 0
    assert score("--fail-under", "nonsense=6").code == 2


def test_limit_scores_a_part(score):
    benchmark = json.loads(score("--json", "--limit", "2").out)["protocol"]
    assert benchmark["samples"] == 2
    assert benchmark["complete"] is False


def corrupt(path, change):
    xyz, verts = json.loads(path.read_text())
    path.write_text(json.dumps(change(xyz, verts)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda xyz, verts: [xyz[:-1], verts], "entries of joints: 3, expected 4"),
        (lambda xyz, verts: [xyz, verts[:-1]], "entries of vertices: 3, expected 4"),
        (lambda xyz, verts: [[s[:-1] for s in xyz], verts], "20 joints per sample"),
        (lambda xyz, verts: [[[[float("nan")] * 3] * 21, *xyz[1:]], verts], "NaN"),
        (lambda xyz, verts: [(1000 * np.array(p)).tolist() for p in (xyz, verts)], "millimetres"),
        (lambda xyz, verts: [(100 * np.array(p)).tolist() for p in (xyz, verts)], "centimetres"),
        (lambda xyz, verts: {"xyz": xyz, "verts": verts}, "expected"),
        (lambda xyz, verts: [xyz, verts, []], "lists: 3, expected 2"),
        (lambda xyz, verts: [xyz], "lists: 1, expected 2"),
    ],
)
def test_bad_predictions_end_with_3_and_write_nothing(score, benchmark, change, reason):
    corrupt(benchmark / "pred.json", change)
    done = score()
    assert done.code == 3
    assert reason in done.message
    assert not (benchmark / "out").exists()


def test_truncated_missing_and_mismatched_files_end_with_3(score, benchmark):
    text = (benchmark / "pred.json").read_text()
    (benchmark / "pred.json").write_text(text[: len(text) // 2])
    done = score()
    assert (done.code, "truncated" in done.message) == (3, True)
    (benchmark / "pred.json").unlink()
    assert score().code == 3
    done = score("--version", "v3", dataset="ho3d")
    assert (done.code, " is the length of v2, so pass --version v2" in done.message) == (3, True)


def test_wrong_axes_end_with_3(score):
    done = score("--version", "v2", dataset="ho3d")
    assert done.code == 3
    assert "expected OpenGL axes" in done.message


def test_wrong_names_are_usage_errors(score):
    assert score(dataset="hands").code == 2
    assert score("--version", "v9", dataset="ho3d").code == 2


def test_self_test_reports_each_score(benchmark, run_cli):
    done = run_cli("eval", "--dataset", "freihand", "--gt", benchmark / "gt", "--self-test", "--json")
    document = json.loads(done.out)
    assert done.code == 1  # made-up hands are not FreiHAND's
    found = {check["prediction"]: check for check in document["checks"]}
    assert set(found) == {
        "all zeros",
        "the ground truth itself",
        "its mirror image",
        "the ground truth at twice the size",
    }
    done = run_cli("eval", "--dataset", "ho3d", "--version", "v3", "--gt", benchmark / "gt", "--self-test")
    assert done.code == 3


def test_without_shards_the_way_to_make_them_is_named(run_cli, tmp_path):
    done = run_cli("eval", "--dataset", "ho3d", "--data", tmp_path / "none", "--device", "cpu")
    assert done.code == 3
    assert "hifihr prepare" in done.message or "checkpoint" in done.message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--part", "1/2", "--merge"), "run --merge once all parts are done"),
        (("--part", "1/2"), "cannot be combined with --predictions"),
    ],
)
def test_parts_are_of_a_checkpoint(score, words, said):
    ended = score(*words)
    assert ended.code == 2
    assert said in ended.err


@pytest.mark.parametrize(("words", "boxes"), [((), "labels"), (("--boxes", "predicted"), "predicted")])
def test_boxes_may_be_predicted(run_cli, monkeypatch, words, boxes):
    from hifihr_core.errors import DataError
    from hifihr_core.evaluation import score_checkpoint

    asked = []

    def record(checkpoint, dataset, *, options, **others):
        asked.append(options.boxes)
        raise DataError("far enough")

    monkeypatch.setattr(score_checkpoint, "evaluate_checkpoint", record)
    assert run_cli("eval", "--dataset", "synth", *words).code == 3
    assert asked == [boxes]
