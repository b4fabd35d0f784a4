"""EPE, PCK, AUC and F-scores, worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.metrics.pose import (
    PCK_THRESHOLDS_M,
    area_under_curve,
    f_scores,
    mpjpe,
    pa_mpjpe,
    pck_counts,
    point_errors,
    summarize_errors,
)


def test_errors_are_distances():
    truth = torch.zeros(1, 2, 3)
    pred = torch.tensor([[[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]]])
    torch.testing.assert_close(point_errors(pred, truth), torch.tensor([[5.0, 1.0]]))
    torch.testing.assert_close(mpjpe(pred, truth), torch.tensor([3.0]))


def test_pa_mpjpe_forgives_a_similarity_and_by_default_a_reflection():
    truth = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 21, 3)))
    pred = 3 * truth * torch.tensor([-1.0, 1.0, 1.0]) + 5
    assert pa_mpjpe(pred, truth).max() < 1e-6
    assert pa_mpjpe(pred, truth, proper=True).min() > 0.1


@pytest.mark.parametrize(("error_m", "auc"), [(0.0, 1.0), (0.06, 0.0), (0.05, 0.5 / 99), (1e-9, 1 - 0.5 / 99)])
def test_area_of_one_constant_error(error_m, auc):
    assert summarize_errors([np.full((3, 21), error_m)]).auc == pytest.approx(auc)


def test_an_error_equal_to_a_threshold_is_within():
    counts = pck_counts(np.array([[PCK_THRESHOLDS_M[10]]]))
    assert counts[9] == 0
    assert counts[10] == 1


@given(st.integers(0, 10_000))
def test_counts_equal_direct_comparison(seed):
    errors_m = np.random.default_rng(seed).choice([0.0, 0.01, 0.02, 0.0311, 0.05, 0.4], size=(4, 5))
    errors_m[0] = PCK_THRESHOLDS_M[:5]
    np.testing.assert_array_equal(pck_counts(errors_m), [(errors_m <= t).sum() for t in PCK_THRESHOLDS_M])


def test_summary_does_not_depend_on_chunks():
    errors_m = np.random.default_rng(0).uniform(0, 0.06, size=(10, 21))
    whole, parts = summarize_errors([errors_m]), summarize_errors([errors_m[:3], errors_m[3:]])
    assert whole.mean_m == pytest.approx(errors_m.mean())
    assert parts.mean_m == pytest.approx(whole.mean_m)
    np.testing.assert_array_equal(parts.pck, whole.pck)
    np.testing.assert_array_equal(parts.per_sample_m, errors_m.mean(axis=1))


def test_no_errors_is_a_wrong_call():
    with pytest.raises(ValueError, match="chunks is empty"):
        summarize_errors([])


def test_area_is_by_trapezia():
    ramp = np.linspace(0, 1, 100)
    assert area_under_curve(ramp) == pytest.approx(0.5)


def test_f_score_by_hand():
    """Two of three true points are covered, one of two predicted ones is right: F = 2 (2/3) (1/2) / (7/6) = 4/7."""
    gt = np.array([[[0.0, 0, 0], [0.002, 0, 0], [1, 0, 0]]])
    pred = np.array([[[0.001, 0, 0], [0.5, 0, 0]]])
    np.testing.assert_allclose(f_scores(pred, gt, thresholds_m=(0.005, 10.0)), [[4 / 7, 1.0]])


def test_f_score_is_zero_where_nothing_is_near_and_strict_at_the_threshold():
    gt, pred = np.zeros((1, 1, 3)), np.array([[[0.25, 0.0, 0.0]]])
    np.testing.assert_array_equal(f_scores(pred, gt, thresholds_m=(0.25, 0.26)), [[0.0, 1.0]])
