import numpy as np
import pytest
import torch

from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.lifting.seen_definition import as_seen, seen_definition
from hifihr_core.video.fitting.joint_motion import MotionOfJoints, grouped


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny").eval()


def _draw(hand: HandModel, batch: int) -> HandParameters:
    drawn = hand.sample_parameters(batch, generator=torch.Generator().manual_seed(4))
    return HandParameters(drawn.global_orient, drawn.pose, drawn.shape)


def _dense(hand: HandModel, own: HandParameters) -> torch.Tensor:
    """Return the derivatives by moving every coefficient separately: the plain twin."""
    columns = []
    for step in torch.eye(hand.pose_dim) * 1e-2:
        further, back = (
            hand.joints_of(HandParameters(own.global_orient, own.pose + sign * step, own.shape)) for sign in (1, -1)
        )
        columns.append((further - back) / 2e-2)
    return torch.stack(columns, dim=-1)


def test_derivatives_are_nearly_those_of_single_moves(hand: HandModel) -> None:
    own = _draw(hand, 5)
    motion = MotionOfJoints(hand)
    assert motion.num_groups <= 8
    with torch.no_grad():
        found, expected = motion(own), _dense(hand, own)
    torch.testing.assert_close(found.joints, hand.joints_of(own))
    assert (found.by_pose - expected).abs().max() < 0.06 * expected.abs().max()


def test_joints_defined_otherwise_move_as_their_sums(hand: HandModel) -> None:
    own = _draw(hand, 2)
    definition = seen_definition(hand.joint_definition)
    assert definition is not None
    with torch.no_grad():
        plain, found = MotionOfJoints(hand)(own), MotionOfJoints(hand, definition)(own)
    torch.testing.assert_close(found.joints, as_seen(hand.joints_of(own), hand.joint_definition))
    torch.testing.assert_close(found.by_pose[..., 3], definition @ plain.by_pose[..., 3])
    torch.testing.assert_close(found.by_turn[..., 1], definition @ plain.by_turn[..., 1])


def test_turns_move_joints_about_the_root(hand: HandModel) -> None:
    own = _draw(hand, 3)
    with torch.no_grad():
        found = MotionOfJoints(hand)(own)
    turn = torch.tensor([0.001, -0.002, 0.0015])
    moved = found.joints + torch.linalg.cross(turn.expand_as(found.joints), found.joints)
    torch.testing.assert_close(found.joints + found.by_turn @ turn, moved)


def test_no_joint_is_moved_by_two_coefficients_of_a_group() -> None:
    moved = np.random.default_rng(0).random((21, 30)) < 0.15
    group = grouped(moved)
    for number in range(group.max() + 1):
        assert moved[:, group == number].sum(axis=1).max() <= 1
    assert group.max() < 29
