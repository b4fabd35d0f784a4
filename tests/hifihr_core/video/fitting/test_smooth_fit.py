from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.seen_definition import seen_definition
from hifihr_core.video.fitting.hand_sequence import HandSequence, SeenSequence
from hifihr_core.video.fitting.joint_motion import MotionOfJoints
from hifihr_core.video.fitting.seen_residuals import SeenResiduals
from hifihr_core.video.fitting.shape_fit import fit_shape, key_frames
from hifihr_core.video.fitting.smooth_fit import (
    Smoothness,
    SmoothSettings,
    fit_window,
    moved,
    normal_equations,
    smooth_fit,
)

K = np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]])
FPS = 30.0


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny").eval()


@pytest.fixture(scope="module")
def motion(hand: HandModel) -> MotionOfJoints:
    return MotionOfJoints(hand)


def _truth(hand: HandModel, count: int) -> HandSequence:
    """Return a hand that moves smoothly between three sampled poses."""
    drawn = hand.sample_parameters(3, generator=torch.Generator().manual_seed(2))
    at = (1 - np.cos(np.linspace(0, np.pi, count))) / 2 * 2
    pose = np.stack([np.interp(at, range(3), column) for column in drawn.pose.double().numpy().T], axis=1)
    turns = Rotation.from_rotvec([[0.2, 0.1, 0.0], [0.5, 0.4, 0.3], [0.1, 0.9, -0.2]])
    turn = Slerp([0, 1, 2], turns)(at).as_rotvec()
    root = np.stack((0.05 * np.sin(at * 2), 0.03 * np.cos(at), 0.5 + 0.05 * at), axis=1)
    return HandSequence(drawn.shape[0].double().numpy(), turn, root, pose)


def _joints(hand: HandModel, sequence: HandSequence) -> np.ndarray:
    placed = sequence.placed()
    with torch.no_grad():
        return (hand.joints_of(placed.parameters) + placed.root_cam[:, None]).double().numpy()


def _see(hand: HandModel, truth: HandSequence, noise_px: float, *, seed: int = 0) -> SeenSequence:
    rays = _joints(hand, truth) @ K.T
    points = rays[..., :2] / rays[..., 2:]
    points = points + np.random.default_rng(seed).normal(scale=noise_px, size=points.shape)
    shape = points.shape[:2]
    return SeenSequence(np.arange(len(truth)) / FPS, points, np.full(shape, max(noise_px, 1.0)), np.ones(shape), K)


def _disturbed(truth: HandSequence, size: float, *, seed: int = 1) -> HandSequence:
    dice = np.random.default_rng(seed)
    step = np.concatenate(
        (
            dice.normal(scale=size, size=(len(truth), 3)),
            dice.normal(scale=size * 0.1, size=(len(truth), 3)),
            dice.normal(scale=size, size=truth.pose.shape),
        ),
        axis=1,
    )
    return moved(truth, step)


def _acceleration(joints: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1).mean() * FPS**2)


def test_step_is_that_of_the_dense_problem(hand: HandModel, motion: MotionOfJoints) -> None:
    """The banded step against numpy on the full Jacobian, with time terms by finite differences."""
    truth = _truth(hand, 6)
    seen, start = _see(hand, truth, 1.0), _disturbed(truth, 0.1)
    settings = SmoothSettings()
    own, smooth = SeenResiduals(motion, seen), Smoothness(seen.times_s, settings.motion, start.pose.shape[1])
    system, gradient = normal_equations(own, smooth, start)
    terms, size = own.terms(start), 6 + start.pose.shape[1]
    dense = np.zeros((6 * size, 6 * size))
    for t in range(6):
        block = slice(t * size, (t + 1) * size)
        dense[block, block] = terms.jacobian[t].T @ terms.jacobian[t]
    strength = smooth.strength(start)
    rows = []
    for t in range(6):
        for d in range(size):
            step = np.zeros((6, size))
            step[t, d] = 1e-4
            rows.append(((smooth.values(moved(start, step)) - smooth.values(start)) * strength / 1e-4).ravel())
    along = np.array(rows).T
    dense += along.T @ along
    pull = np.concatenate([terms.jacobian[t].T @ terms.residuals[t] for t in range(6)])
    pull = pull + along.T @ (smooth.values(start) * strength).ravel()
    expected = np.linalg.solve(dense + 0.1 * np.diag(np.diag(dense)), -pull)
    found = system.solve(-gradient, 0.1).ravel()
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)
    assert found @ pull < 0  # downhill for the exact gradient as well


def test_fit_is_near_the_truth_and_smooth(hand: HandModel, motion: MotionOfJoints) -> None:
    truth = _truth(hand, 30)
    seen = _see(hand, truth, 3.0)
    start = HandSequence(truth.shape, *(getattr(_disturbed(truth, 0.1), n) for n in ("turn", "root_cam", "pose")))
    alone = SmoothSettings(motion=SmoothSettings().motion.__class__(1e6, 1e6, 1e6))
    smooth, single = (_joints(hand, smooth_fit(motion, seen, start, s)) for s in (SmoothSettings(), alone))
    true = _joints(hand, truth)

    def error(joints: np.ndarray) -> float:
        offset = joints - joints[:, 9:10] - (true - true[:, 9:10])
        return float(np.linalg.norm(offset, axis=-1).mean())

    assert error(smooth) < error(single)
    assert error(smooth) < 0.008
    wrong = [_acceleration(joints - true) for joints in (smooth, single)]
    assert wrong[0] < 0.3 * wrong[1]


def test_a_gap_is_bridged(hand: HandModel, motion: MotionOfJoints) -> None:
    truth = _truth(hand, 30)
    seen = _see(hand, truth, 1.0)
    weight = seen.weight.copy()
    weight[10:18] = 0
    points = seen.joints_px.copy()
    points[10:18] = 0
    gap = SeenSequence(seen.times_s, points, seen.sigma_px, weight, K)
    found = _joints(hand, smooth_fit(motion, gap, _disturbed(truth, 0.02)))
    assert np.linalg.norm(found - _joints(hand, truth), axis=-1)[10:18].mean() < 0.015


def test_an_outlying_frame_is_not_followed(hand: HandModel, motion: MotionOfJoints) -> None:
    truth = _truth(hand, 20)
    seen = _see(hand, truth, 1.0)
    seen.joints_px[12] = seen.joints_px[12, ::-1] + 40
    found = _joints(hand, smooth_fit(motion, seen, _disturbed(truth, 0.02)))
    assert np.linalg.norm(found - _joints(hand, truth), axis=-1)[12].mean() < 0.02


def test_windows_give_nearly_what_one_window_gives(hand: HandModel, motion: MotionOfJoints) -> None:
    truth = _truth(hand, 40)
    seen, start = _see(hand, truth, 2.0), _disturbed(truth, 0.03)
    whole = _joints(hand, smooth_fit(motion, seen, start))
    parts = _joints(hand, smooth_fit(motion, seen, start, SmoothSettings(window=24, shared=10)))
    assert np.linalg.norm(whole - parts, axis=-1).max() < 0.004
    assert _acceleration(parts) < 1.1 * _acceleration(whole)


def test_held_frames_do_not_move(hand: HandModel, motion: MotionOfJoints) -> None:
    truth = _truth(hand, 8)
    start = _disturbed(truth, 0.05)
    found = fit_window(motion, _see(hand, truth, 1.0), start, held=2)
    np.testing.assert_allclose(found.pose[:2], start.pose[:2])
    np.testing.assert_allclose(found.turn[:2], start.turn[:2], atol=1e-9)
    assert np.abs(found.pose[2:] - start.pose[2:]).max() > 1e-3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_tracks_can_be_fitted(hand: HandModel, motion: MotionOfJoints, count: int) -> None:
    truth = _truth(hand, 5).part(slice(0, count))
    found = smooth_fit(motion, _see(hand, truth, 1.0), _disturbed(truth, 0.05))
    assert len(found) == count
    assert np.isfinite(_joints(hand, found)).all()


def test_shape_is_that_of_the_person(hand: HandModel, motion: MotionOfJoints) -> None:
    """Bone lengths get closer to the truth than the mean hand's, and are constant over the track."""
    truth = _truth(hand, 30)
    seen = _see(hand, truth, 1.5)
    start = HandSequence(
        np.zeros_like(truth.shape), *(getattr(_disturbed(truth, 0.03), n) for n in ("turn", "root_cam", "pose"))
    )
    shape = fit_shape(motion, seen, start)

    def wrong(of: np.ndarray) -> float:
        bones = []
        for one in (of, truth.shape):
            joints = _joints(hand, HandSequence(one, truth.turn[:1], truth.root_cam[:1], truth.pose[:1]))[0]
            lengths = np.linalg.norm(
                joints[[6, 7, 10, 11, 14, 15, 18, 19]] - joints[[5, 6, 9, 10, 13, 14, 17, 18]], axis=1
            )
            bones.append(lengths / lengths.mean())
        return float(np.abs(bones[0] - bones[1]).mean())

    assert wrong(shape) < 0.6 * wrong(np.zeros_like(shape))


def test_key_frames_are_the_clearest_of_each_part(hand: HandModel) -> None:
    seen = _see(hand, _truth(hand, 20), 1.0)
    seen.sigma_px[:] = 5.0
    seen.sigma_px[[3, 11]] = 1.0
    seen.weight[15:] = 0
    np.testing.assert_array_equal(key_frames(seen, 3), [3, 5, 11])


def test_sightings_are_compared_as_the_eyes_define_them(hand: HandModel, motion: MotionOfJoints) -> None:
    truth = _truth(hand, 12)
    seen = _see(hand, truth, 0.0)
    definition = seen_definition(hand.joint_definition)
    assert definition is not None
    seen = replace(seen, joints_px=definition.double().numpy() @ seen.joints_px)
    start = _disturbed(truth, 0.05)
    plain, own = (smooth_fit(one, seen, start) for one in (motion, MotionOfJoints(hand, definition)))
    errors = [np.linalg.norm(_joints(hand, one) - _joints(hand, truth), axis=-1).mean() for one in (plain, own)]
    assert errors[1] < 0.5 * errors[0]
