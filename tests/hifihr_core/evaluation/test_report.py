"""Reports: their content, the meaning of bounds, and the self-test."""

import json
import math

import numpy as np
import pytest

from hifihr_core.errors import ConfigError
from hifihr_core.evaluation.benchmarks.point_files import PointSets
from hifihr_core.evaluation.benchmarks.scoring import score
from hifihr_core.evaluation.benchmarks.selftest import run_self_test
from hifihr_core.evaluation.benchmarks.table import BENCHMARKS
from hifihr_core.evaluation.examples_page import pick_examples
from hifihr_core.evaluation.report import (
    bound_names,
    lower_is_better,
    missed_bounds,
    parse_bound,
    score_document,
    score_table,
    write_document,
)
from hifihr_core.skeleton import JOINT_NAMES


@pytest.fixture
def scores(make_truth):
    truth = make_truth("ho3d-v2")
    return score(PointSets(truth.joints + 0.002, truth.vertices + 0.002), truth, BENCHMARKS["ho3d-v2"])


def test_document_holds_official_centimetres_and_our_millimetres(scores, tmp_path):
    write_document(tmp_path / "metrics.json", score_document(scores, complete=True))
    document = json.loads((tmp_path / "metrics.json").read_text())
    offset_mm = 2 * np.sqrt(3)
    assert document["metrics"]["mpjpe_mm"] == pytest.approx(offset_mm)
    assert document["official"]["xyz_mean3d"] == pytest.approx(offset_mm / 10)
    assert list(document["joints_mm"]["raw"]) == list(JOINT_NAMES)
    assert document["pck"]["thresholds_mm"][-1] == 50
    assert len(document["pck"]["pa_vertices"]) == 100


def test_single_joints_are_reported_under_their_own_names(make_truth):
    truth = make_truth("ho3d-v2")
    moved = truth.joints.copy()
    moved[:, 4] += [0.01, 0, 0]  # the middle MCP in HO-3D's order
    document = score_document(score(PointSets(moved, None), truth, BENCHMARKS["ho3d-v2"]), complete=True)
    errors = document["joints_mm"]["raw"]
    assert errors["middle_mcp"] == pytest.approx(10)
    assert sum(errors.values()) == pytest.approx(10)


def test_numbers_that_json_lacks_become_null(tmp_path):
    write_document(tmp_path / "x.json", {"a": float("nan"), "b": [float("inf"), 1.0]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 1.0]}


def test_table_leaves_out_what_a_protocol_does_not_define(scores):
    header, rows = score_table(scores)
    assert [row[0] for row in rows] == ["unaligned", "Procrustes", "scale and translation"]
    assert rows[2][header.index("mesh [mm]")] == ""
    assert rows[0][header.index("joints [mm]")] == "3.46"


@pytest.mark.parametrize(
    ("text", "value", "missed"),
    [
        ("pa_mpjpe_mm=5", 5.1, True),
        ("pa_mpjpe_mm=5", 5.0, False),
        ("xyz_mean3d=0.5", 0.6, True),
        ("f_al_score_5=0.9", 0.89, True),
        ("f_al_score_5=0.9", 0.9, False),
        ("auc_joints=0.5", None, True),
        ("paper.lpips=0.1", 0.2, True),
        ("strict.psnr=20", 19.0, True),
        ("strict.l1=0.1", 0.05, False),
        ("mpjpe_mm=5", float("nan"), True),
    ],
)
def test_a_bound_is_missed_on_its_worse_side(text, value, missed):
    bound = parse_bound(text, BENCHMARKS["freihand"])
    assert bool(missed_bounds([bound], {bound.metric: value})) is missed


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("mpjpe_mm=12", 12.0004, "is 12.0004, more than 12"),
        ("mpjpe_mm=12.0001", 12.0004, "is 12.0004, more than 12.0001"),
        ("f5=0.49996", 0.499958, "is 0.499958, less than 0.49996"),
        ("mpjpe_mm=12", 13.25678, "is 13.26, more than 12"),
        ("mpjpe_mm=12", math.nan, "has no value"),
    ],
)
def test_a_missed_bound_never_reads_like_its_value(text, value, said):
    bound = parse_bound(text, BENCHMARKS["freihand"])
    [sentence] = missed_bounds([bound], {bound.metric: value})
    assert said in sentence


@pytest.mark.parametrize("text", ["pa_mpjpe_mm", "pa_mpjpe_mm=low", "=3", "st_mpjpe_mm=3"])
def test_a_wrong_bound_is_a_usage_error(text):
    with pytest.raises(ConfigError, match="--fail-under"):
        parse_bound(text, BENCHMARKS["freihand"])


def test_every_metric_has_a_better_side():
    names = bound_names(BENCHMARKS["synth"]) + bound_names(BENCHMARKS["ho3d-v2"])
    lower = {name for name in names if lower_is_better(name)}
    assert {
        "mpjpe_mm",
        "st_mpjpe_mm",
        "xyz_scale_trans_al_mean3d",
        "paper.lpips",
        "shape_mm",
        "light_angle_deg",
    } <= lower
    assert not lower & {"pa_auc_joints", "f5", "strict.ssim", "strict.coverage", "mesh_al_auc3d", "f_score_15"}


def test_examples_are_best_median_and_worst():
    picked = pick_examples(np.array([5.0, 1, 9, 3, 7, 2, 8, 4, 6]), each=2)
    assert picked == {1: "best", 5: "best", 7: "median", 0: "median", 2: "worst", 6: "worst"}
    assert set(pick_examples(np.array([1.0, 2.0])).values()) == {"best"}


def test_self_test_passes_on_what_it_can_know_and_compares_the_published_scores(make_truth):
    checks = run_self_test(make_truth("freihand"), BENCHMARKS["freihand"])
    known = [check for check in checks if check.prediction != "all zeros"]
    assert known
    assert all(check.passed for check in known)
    published = {check.metric: check.expected for check in checks if check.prediction == "all zeros"}
    assert published["xyz_mean3d"] == 70.79
    assert published["f_al_score_15"] == 0.031
    assert not all(check.passed for check in checks)  # made-up hands are not FreiHAND's


def test_published_scores_are_met_to_their_last_digit():
    check = run_check(4.7349)
    assert check.passed
    assert not run_check(4.7352).passed


def run_check(found):
    from hifihr_core.evaluation.benchmarks.selftest import TOLERANCES, Check

    return Check("all zeros", "xyz_al_mean3d", 4.73, found, TOLERANCES["mean3d"])
