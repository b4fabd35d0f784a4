from dataclasses import replace

import numpy as np
import torch

from hifihr_core.hands import HandModel
from hifihr_core.video.fitting.hand_sequence import HandSequence, SeenSequence
from hifihr_core.video.fitting.joint_motion import MotionOfJoints
from hifihr_core.video.fitting.lifted_residuals import LiftedResiduals
from hifihr_core.video.fitting.smooth_fit import moved, smooth_fit


def _sequence(hand: HandModel, count: int) -> HandSequence:
    drawn = hand.sample_parameters(count, generator=torch.Generator().manual_seed(4))
    turn = np.linspace((0.1, 0.0, 0.2), (0.3, 0.4, 0.1), count)
    root = np.linspace((0.0, 0.02, 0.5), (0.05, 0.0, 0.55), count)
    return HandSequence(drawn.shape[0].double().numpy(), turn, root, drawn.pose.double().numpy())


def test_the_jacobian_is_that_of_the_residuals(anny: HandModel) -> None:
    lifted = _sequence(anny, 3)
    size = 6 + lifted.pose.shape[1]
    held = LiftedResiduals(lifted, np.array([1.0, 0.0, 1.0]))
    assert not held.residuals(lifted).any()
    rows = []
    for d in range(size):
        step = np.zeros((3, size))
        step[:, d] = 1e-6
        rows.append(held.residuals(moved(lifted, step)) / 1e-6)
    np.testing.assert_allclose(held.jacobian(lifted), np.stack(rows, axis=-1), atol=1e-3)
    assert not held.jacobian(lifted)[1].any()


def test_pose_that_joints_do_not_determine_stays_as_lifted(anny: HandModel) -> None:
    """A distant hand and a smaller near one look alike, and so do fingers bent towards and away from the camera."""
    K = np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]])
    true = _sequence(anny, 1).part(np.zeros(12, dtype=int))
    placed = true.placed()
    with torch.no_grad():
        rays = (anny.joints_of(placed.parameters) + placed.root_cam[:, None]).double().numpy() @ K.T
    pixels, shape = rays[..., :2] / rays[..., 2:], (12, 21)
    plain = SeenSequence(np.arange(12) / 30, pixels, np.full(shape, 20.0), np.full(shape, 0.3), K)
    motion = MotionOfJoints(anny)
    free, held = (smooth_fit(motion, seen, true) for seen in (plain, replace(plain, lifted=true)))
    assert np.abs(held.pose - true.pose).mean() < 0.8 * np.abs(free.pose - true.pose).mean()
    far = [np.abs(np.log(one.root_cam[:, 2] / true.root_cam[:, 2])).max() for one in (held, free)]
    assert far[0] < 0.5 * far[1]
