"""Procrustes and scale-translation: known transforms are recovered, and the official formulas agree."""

import numpy as np
import pytest
import roma
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from hifihr_core.geometry.alignment import align_scale_translation, procrustes


def random_points(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_recovers_a_known_similarity():
    source = random_points(0, 5, 21, 3)
    rotation = roma.rotvec_to_rotmat(random_points(1, 5, 3))
    scale, shift = torch.tensor([0.5, 1.0, 2.0, 3.0, 1e-3]).double(), random_points(2, 5, 3)
    target = scale[:, None, None] * source @ rotation.transpose(1, 2) + shift[:, None]
    fit = procrustes(source, target)
    torch.testing.assert_close(fit.rotation, rotation)
    torch.testing.assert_close(fit.scale, scale, rtol=1e-4, atol=0)
    torch.testing.assert_close(fit(source), target, rtol=0, atol=1e-5)


def test_fitted_transform_moves_other_points_too():
    source = random_points(0, 2, 21, 3)
    other = random_points(5, 2, 7, 3)
    turn = roma.rotvec_to_rotmat(torch.tensor([[0.3, 0.2, -1.0], [0.0, 2.0, 0.0]]).double())
    moved = procrustes(source, 2 * source @ turn.transpose(1, 2) + 1)(other)
    torch.testing.assert_close(moved, 2 * other @ turn.transpose(1, 2) + 1, rtol=0, atol=1e-6)


def test_a_mirrored_hand_aligns_exactly_only_where_reflections_are_allowed():
    target = random_points(0, 1, 21, 3)
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0])
    official, proper = procrustes(mirrored, target), procrustes(mirrored, target, proper=True)
    assert torch.linalg.det(official.rotation).item() == pytest.approx(-1)
    assert torch.linalg.det(proper.rotation).item() == pytest.approx(1)
    assert (official(mirrored) - target).abs().max() < 1e-6
    assert (proper(mirrored) - target).abs().mean() > 0.1


def test_coinciding_points_align_to_the_centre_of_the_target():
    target = random_points(0, 1, 21, 3)
    aligned = procrustes(torch.full((1, 21, 3), 0.4).double(), target)(torch.full((1, 21, 3), 0.4).double())
    torch.testing.assert_close(aligned, target.mean(dim=1, keepdim=True).expand(1, 21, 3))


@given(st.integers(0, 10_000), st.sampled_from([1e-7, 1e-3, 1.0, 1e3]), st.booleans())
def test_agrees_with_the_formula_of_the_official_evaluators(seed, size, flat):
    rng = np.random.default_rng(seed)
    pred, true = size * rng.normal(size=(2, 21, 3)), 0.05 * rng.normal(size=(2, 21, 3)) + [0, 0, 0.7]
    pred[..., 2] *= not flat
    aligned = procrustes(torch.from_numpy(pred), torch.from_numpy(true))(torch.from_numpy(pred)).numpy()
    for one, truth, ours in zip(pred, true, aligned, strict=True):
        a, p = truth - truth.mean(0), one - one.mean(0)
        a_size, p_size = np.sqrt((a**2).sum()) + 1e-8, np.sqrt((p**2).sum()) + 1e-8
        matrix, scale = orthogonal_procrustes(a / a_size, p / p_size)
        np.testing.assert_allclose(ours, (p / p_size) @ matrix.T * scale * a_size + truth.mean(0), rtol=0, atol=1e-12)


@given(st.integers(0, 10_000))
def test_no_other_similarity_comes_closer(seed):
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.randn(2, 1, 21, 3, generator=generator, dtype=torch.float64)
    fit = procrustes(source, target, proper=True)
    best = (fit(source) - target).square().sum()
    nudge = roma.rotvec_to_rotmat(0.05 * torch.randn(1, 3, generator=generator, dtype=torch.float64))
    others = [
        (fit(source) - fit.target_center[:, None]) @ nudge.transpose(1, 2) + fit.target_center[:, None],
        1.02 * (fit(source) - fit.target_center[:, None]) + fit.target_center[:, None],
        fit(source) + 0.01,
    ]
    assert all((other - target).square().sum() > best - 1e-9 for other in others)


def test_a_batch_is_its_rows():
    source, target = random_points(0, 4, 21, 3), random_points(1, 4, 21, 3)
    together = procrustes(source, target)(source)
    alone = torch.cat([procrustes(source[b : b + 1], target[b : b + 1])(source[b : b + 1]) for b in range(4)])
    torch.testing.assert_close(together, alone)


def test_scale_translation_by_hand():
    source, target = np.zeros((1, 21, 3)), np.ones((1, 21, 3))
    source[0, 9], source[0, 5] = (2, 0, 0), (1, 1, 0)
    target[0, 9] = (1, 1, 2)
    aligned = align_scale_translation(source, target, anchor=0, reference=9)
    np.testing.assert_array_equal(aligned[0, [0, 9, 5]], [(1, 1, 1), (2, 1, 1), (1.5, 1.5, 1)])


def test_scale_translation_of_a_bone_without_length_is_finite():
    target = random_points(0, 1, 21, 3).numpy()
    aligned = align_scale_translation(np.zeros_like(target), target, anchor=0, reference=9)
    np.testing.assert_array_equal(aligned, np.broadcast_to(target[:, :1], (1, 21, 3)))
