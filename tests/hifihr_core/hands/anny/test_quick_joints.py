"""The compiled loop gives the joints of the model in plain torch."""

import pytest
import torch

from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.anny import quick_joints


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny", texture_px=32)


def some(hand: HandModel, count: int) -> HandParameters:
    return hand.sample_parameters(count, generator=torch.Generator().manual_seed(7)).untextured


def test_joints_are_those_of_the_posed_surface(hand: HandModel) -> None:
    parameters = some(hand, 16)
    torch.testing.assert_close(hand.joints_of(parameters), hand(parameters).joints, atol=1e-6, rtol=0)


def test_a_batch_of_one_is_a_row_of_many(hand: HandModel) -> None:
    parameters = some(hand, 3)
    one = HandParameters(parameters.global_orient[1:2], parameters.pose[1:2], parameters.shape[1:2])
    assert torch.equal(hand.joints_of(parameters)[1:2], hand.joints_of(one))


def test_no_hands_have_no_joints(hand: HandModel) -> None:
    assert hand.joints_of(some(hand, 0)).shape == (0, 21, 3)


def test_joints_with_gradients_come_from_torch(hand: HandModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_joints, "_pose_joints", None)  # calling it would fail
    parameters = some(hand, 2)
    parameters.pose.requires_grad_()
    hand.joints_of(parameters).sum().backward()
    assert parameters.pose.grad is not None


def test_joints_of_another_definition_come_from_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_joints, "_pose_joints", None)
    hand = load_hand("anny", joints="ho3d", texture_px=32)
    parameters = some(hand, 2)
    torch.testing.assert_close(hand.joints_of(parameters), hand(parameters).joints)


def test_double_precision_comes_from_torch(hand: HandModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_joints, "_pose_joints", None)
    double = load_hand("anny", texture_px=32).double()
    parameters = some(hand, 2)
    wide = HandParameters(parameters.global_orient.double(), parameters.pose.double(), parameters.shape.double())
    torch.testing.assert_close(double.joints_of(wide).float(), hand(parameters).joints, atol=1e-6, rtol=0)
