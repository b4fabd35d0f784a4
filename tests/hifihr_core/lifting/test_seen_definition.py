"""The eyes' joints in terms of a hand's: weighted sums that rotate and scale with the hand."""

import numpy as np
import pytest
import torch

from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.seen_definition import as_seen, from_seen, seen_definition
from hifihr_core.skeleton import TIPS, WRIST


def moved(hand: HandModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean hand's joints, and the distances of the eyes' joints from them, in hand sizes."""
    joints = hand.joints_of(hand.mean_parameters(1))[0]
    size = (joints.amax(dim=0) - joints.amin(dim=0)).max()
    weights = seen_definition(hand.joint_definition)
    assert weights is not None
    return joints, (weights @ joints - joints) / size


@pytest.mark.parametrize("definition", ["freihand", "ho3d"])
def test_rows_are_weights(definition):
    weights = seen_definition(definition)
    assert weights.shape == (21, 21)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(21), rtol=0, atol=1e-3)
    assert (weights.diagonal() > 0.7).all()


@pytest.mark.parametrize("definition", ["freihand", "ho3d"])
def test_the_eyes_see_tips_and_wrist_nearer_to_the_palm(definition):
    joints, offset = moved(load_hand("anny", joints=definition))
    for joint in (WRIST, *TIPS):
        inwards = joints[9] - joints[joint] if joint == WRIST else joints[joint - 1] - joints[joint]
        share = offset[joint] @ inwards / inwards.norm()
        assert 0.02 < share < 0.16
    others = [joint for joint in range(5, 21) if joint not in TIPS]
    assert offset[others].norm(dim=1).max() < 0.05


def test_other_definitions_have_none():
    assert seen_definition("other") is None


def test_the_map_is_learned_from_hands_of_which_some_are_misread(load_tool):
    joint_map = load_tool("learning/joint_map.py")
    hand = load_hand("anny")
    drawn = hand.sample_parameters(400, generator=torch.Generator().manual_seed(1))
    ours_px = 1000 * hand.joints_of(drawn)[..., :2].double().numpy()
    weights = seen_definition("freihand").double().numpy()
    theirs_px = weights @ ours_px
    theirs_px[::10] += 40.0  # misread
    found = joint_map.learn_joint_map(ours_px, theirs_px, np.ones((400, 21), dtype=bool))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)
    size = np.ptp(ours_px, axis=1).max(axis=1)[:, None]
    left = np.linalg.norm((found - weights) @ ours_px, axis=-1) / size
    moved = np.linalg.norm((weights - np.eye(21)) @ ours_px, axis=-1) / size
    assert left[:, [0, 4, 8, 12, 16, 20]].mean() < 0.35 * moved[:, [0, 4, 8, 12, 16, 20]].mean()


@pytest.mark.parametrize("definition", ["freihand", "ho3d", "other"])
def test_from_seen_is_the_inverse(definition):
    joints = load_hand("anny").joints_of(load_hand("anny").mean_parameters(2))
    torch.testing.assert_close(from_seen(as_seen(joints, definition), definition), joints, rtol=0, atol=1e-6)
