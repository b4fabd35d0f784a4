import torch

from hifihr_core.hands import HandModel
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.wider_poses import widen_poses


def test_a_share_of_the_poses_moves_within_the_limits(hand: HandModel) -> None:
    pose = hand.sample_parameters(400, generator=torch.Generator().manual_seed(0)).pose
    wider = widen_poses(hand, pose, Dice(400, 1, torch.device("cpu")), 0.5)
    moved = (wider != pose).any(dim=1)
    assert 0.4 < float(moved.float().mean()) < 0.6
    limits = hand.pose_prior().limits
    assert (wider[moved] >= limits[:, 0] - 1e-6).all()
    assert (wider[moved] <= limits[:, 1] + 1e-6).all()
    assert float((wider - pose)[moved].std()) > 0.05


def test_a_share_of_zero_moves_nothing(hand: HandModel) -> None:
    pose = hand.sample_parameters(20, generator=torch.Generator().manual_seed(0)).pose
    torch.testing.assert_close(widen_poses(hand, pose, Dice(20, 1, torch.device("cpu")), 0.0), pose)
