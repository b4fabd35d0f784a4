"""Our scores against the official formulas, implemented here from their definition, sample by sample."""

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree

from hifihr_core.evaluation.benchmarks.point_files import PointSets
from hifihr_core.evaluation.benchmarks.scoring import score
from hifihr_core.evaluation.benchmarks.table import BENCHMARKS
from hifihr_core.skeleton import scatter_to


def align_procrustes(truth, pred):
    a, p = truth - truth.mean(0), pred - pred.mean(0)
    a_size, p_size = np.linalg.norm(a) + 1e-8, np.linalg.norm(p) + 1e-8
    turn, scale = orthogonal_procrustes(a / a_size, p / p_size)
    return (p / p_size) @ turn.T * scale * a_size + truth.mean(0)


def align_bone(truth, pred):
    """Give the bone from HO-3D's joint 0 (wrist) to 4 (middle MCP) its true length, and the wrist its true position."""
    length = np.sqrt(np.square(pred[4] - pred[0]).sum())
    scaled = (pred / length if length > 0 else pred) * np.sqrt(np.square(truth[4] - truth[0]).sum())
    return scaled - scaled[0] + truth[0]


def curve_scores(errors_m):
    """Mean in centimetres and AUC: per point over samples, then over points."""
    thresholds = np.linspace(0, 0.05, 100)
    curves = (errors_m[:, :, None] <= thresholds).mean(0)
    return 100 * errors_m.mean(0).mean(), np.mean(trapezoid(curves, thresholds, axis=1) / 0.05)


def f_score(truth, pred, threshold):
    precision = np.mean(cKDTree(pred).query(truth)[0] < threshold)
    recall = np.mean(cKDTree(truth).query(pred)[0] < threshold)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def official_scores(pred, truth, ho3d):
    """The keys of scores.txt."""

    def errors(name, align):
        pairs = zip(getattr(truth, name), getattr(pred, name), strict=True)
        return curve_scores(np.array([np.sqrt(np.square(t - align(t, p)).sum(1)) for t, p in pairs]))

    scores = {}
    rows = {"xyz": lambda t, p: p, "xyz_procrustes_al" if ho3d else "xyz_al": align_procrustes}
    if ho3d:
        rows["xyz_scale_trans_al"] = align_bone
    for key, align in rows.items():
        scores[f"{key}_mean3d"], scores[f"{key}_auc3d"] = errors("joints", align)
    scores["mesh_mean3d"], scores["mesh_auc3d"] = errors("vertices", lambda t, p: p)
    scores["mesh_al_mean3d"], scores["mesh_al_auc3d"] = errors("vertices", align_procrustes)
    pairs = list(zip(truth.vertices, pred.vertices, strict=True))
    for mm in (5, 15):
        scores[f"f_score_{mm}"] = np.mean([f_score(t, p, mm / 1000) for t, p in pairs])
        scores[f"f_al_score_{mm}"] = np.mean([f_score(t, align_procrustes(t, p), mm / 1000) for t, p in pairs])
    return scores


def both(points, change):
    return PointSets(change(points.joints), change(points.vertices))


def noise(points, size):
    rng = np.random.default_rng(7)
    return both(points, lambda p: p + rng.normal(size=p.shape) * size)


def only_first_point(p):
    kept = np.zeros_like(p)
    kept[:, 0] = p[:, 0]
    return kept


CASES = {
    "noisy": lambda truth: noise(truth, 0.008),
    "random": lambda truth: both(noise(truth, 1.0), lambda p: p - [0, 0, 0.7]),
    "perfect": lambda truth: truth,
    "zeros": lambda truth: both(truth, np.zeros_like),
    "mirrored": lambda truth: both(truth, lambda p: p * [-1, 1, 1]),
    "mirrored, noisy": lambda truth: noise(both(truth, lambda p: p * [-1, 1, 1]), 0.005),
    "larger": lambda truth: both(truth, lambda p: 1.7 * p),
    "tiny": lambda truth: both(truth, lambda p: 1e-3 * p),
    "nearly one point": lambda truth: noise(both(truth, lambda p: 0 * p + np.array([0.1, 0.2, 0.6])), 1e-9),
    "one plane": lambda truth: both(truth, lambda p: p * [1, 1, 0]),
    "one line": lambda truth: both(truth, lambda p: p * [1, 0, 0]),
    "one point apart": lambda truth: both(truth, only_first_point),
}


@pytest.mark.parametrize("name", ["freihand", "ho3d-v2"])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_official_formulas(make_truth, case, name):
    truth = make_truth(name, samples=3)
    pred = CASES[case](truth)
    ours = score(pred, truth, BENCHMARKS[name]).official()
    theirs = official_scores(pred, truth, ho3d=name != "freihand")
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert list(ours) == list(BENCHMARKS[name].official)


def test_chunks_do_not_show(make_truth, monkeypatch):
    truth = make_truth("freihand", samples=9)
    pred = noise(truth, 0.01)
    whole = score(pred, truth, BENCHMARKS["freihand"]).metrics()
    monkeypatch.setattr("hifihr_core.evaluation.benchmarks.scoring._CHUNK", 2)
    assert score(pred, truth, BENCHMARKS["freihand"]).metrics() == pytest.approx(whole, abs=1e-12)


def test_twice_the_same_is_the_same_to_the_last_digit(make_truth):
    truth = make_truth("ho3d-v2")
    pred = noise(truth, 0.01)
    first, second = (score(pred, truth, BENCHMARKS["ho3d-v2"]).metrics() for _ in range(2))
    assert first == second


def test_our_units_are_millimetres(make_truth):
    truth = make_truth("freihand")
    metrics = score(both(truth, lambda p: p + np.array([0.003, 0.0, 0.004])), truth, BENCHMARKS["freihand"]).metrics()
    assert metrics["mpjpe_mm"] == pytest.approx(5)
    assert metrics["mpvpe_mm"] == pytest.approx(5)
    assert metrics["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-4)


def test_ho3d_measures_the_bone_from_wrist_to_middle_mcp():
    """Middle MCP, our joint 9, is joint 4 of HO-3D."""
    assert BENCHMARKS["ho3d-v2"].scale_bone == (0, 4)
    assert scatter_to("ho3d")[4] == 9
    assert BENCHMARKS["freihand"].scale_bone == (0, 9)


def test_without_vertices_mesh_scores_are_not_applicable(make_truth):
    truth = make_truth("freihand")
    scores = score(PointSets(truth.joints, None), truth, BENCHMARKS["freihand"])
    metrics = scores.metrics()
    assert metrics["mpjpe_mm"] == 0
    assert all(metrics[name] is None for name in ("mpvpe_mm", "pa_auc_vertices", "f5", "pa_f15"))
    assert scores.official()["mesh_mean3d"] is None
    assert "not applicable" in scores.notes()[0]


def test_other_surface_points_follow_the_joints(make_truth):
    """Every second vertex, after a similarity: no mesh errors, but a perfect aligned F-score."""
    truth = make_truth("freihand")
    moved = both(truth, lambda p: 1.5 * p[..., [1, 2, 0]] + 0.3)
    scores = score(PointSets(moved.joints, moved.vertices[:, ::2]), truth, BENCHMARKS["freihand"])
    metrics = scores.metrics()
    assert metrics["mpvpe_mm"] is None
    precision = np.mean([np.mean(cKDTree(t[::2]).query(t)[0] < 0.005) for t in truth.vertices])
    assert 2 * precision / (1 + precision) == pytest.approx(metrics["pa_f5"], abs=0.01)
    assert metrics["f5"] == 0
    assert "389 surface points" in scores.notes()[0]
