from dataclasses import replace

import pytest
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.lifting.fitting import fit_keypoints
from hifihr_core.lifting.seen_definition import seen_definition
from hifihr_core.placed_hands import PlacedHands

K = torch.tensor([[500.0, 0, 100], [0, 500, 100], [0, 0, 1]])


@pytest.fixture(scope="module")
def truth(hand: HandModel) -> tuple[PlacedHands, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    drawn = hand.sample_parameters(3, generator=generator)
    parameters = HandParameters(0.3 * drawn.global_orient, drawn.pose, torch.zeros_like(drawn.shape))
    root = torch.tensor([[0.0, 0, 0.5], [0.1, 0.05, 0.7], [-0.1, 0, 0.4]])
    return PlacedHands(parameters, root), project(hand.joints_of(parameters) + root[:, None], K.expand(3, 3, 3))


def _error_px(hand: HandModel, lifted: PlacedHands, points: torch.Tensor) -> torch.Tensor:
    joints = hand.joints_of(lifted.parameters) + lifted.root_cam[:, None]
    return (project(joints, K.expand(len(points), 3, 3)) - points).norm(dim=-1)


def _away(truth: PlacedHands) -> PlacedHands:
    parameters = replace(
        truth.parameters, global_orient=truth.parameters.global_orient + 0.2, pose=truth.parameters.pose * 0.7
    )
    return PlacedHands(parameters, truth.root_cam * 1.1 + 0.01)


def test_fit_converges_to_the_keypoints(hand: HandModel, truth: tuple[PlacedHands, torch.Tensor]) -> None:
    lifted, points = truth
    start = _away(lifted)
    ones = torch.ones(3, 21)
    fitted = fit_keypoints(hand, start, points, ones, K.expand(3, 3, 3), steps=20)
    before, after = _error_px(hand, start, points).mean(dim=1), _error_px(hand, fitted, points).mean(dim=1)
    assert (after < 0.1 * before).all()
    assert fitted.root_cam.dtype == torch.float32


def test_no_step_makes_it_worse_and_the_truth_stays(hand: HandModel, truth: tuple[PlacedHands, torch.Tensor]) -> None:
    lifted, points = truth
    fitted = fit_keypoints(hand, lifted, points, torch.ones(3, 21), K.expand(3, 3, 3), steps=3)
    assert _error_px(hand, fitted, points).mean() < 0.5  # the prior pulls a little


def test_joints_without_confidence_are_not_looked_at(hand: HandModel, truth: tuple[PlacedHands, torch.Tensor]) -> None:
    lifted, points = truth
    confidence = torch.ones(3, 21)
    confidence[:, 13:17] = 0
    wild = points.clone()
    wild[:, 13:17] = 1e4
    tame = points.clone()
    tame[:, 13:17] = 0
    fits = [fit_keypoints(hand, _away(lifted), p, confidence, K.expand(3, 3, 3), steps=4) for p in (wild, tame)]
    torch.testing.assert_close(fits[0].parameters.pose, fits[1].parameters.pose)
    torch.testing.assert_close(fits[0].root_cam, fits[1].root_cam)


def test_one_wild_keypoint_does_not_drag_the_hand(hand: HandModel, truth: tuple[PlacedHands, torch.Tensor]) -> None:
    lifted, points = truth
    wild = points.clone()
    wild[:, 8] += 150.0
    fitted = fit_keypoints(hand, _away(lifted), wild, torch.ones(3, 21), K.expand(3, 3, 3), steps=20)
    others = [joint for joint in range(21) if joint not in (6, 7, 8)]
    assert _error_px(hand, fitted, points)[:, others].mean() < 4.0


def test_without_any_confidence_only_the_prior_counts(hand: HandModel, truth: tuple[PlacedHands, torch.Tensor]) -> None:
    lifted, points = truth
    fitted = fit_keypoints(hand, lifted, points, torch.zeros(3, 21), K.expand(3, 3, 3), steps=3)
    torch.testing.assert_close(fitted.root_cam, lifted.root_cam)
    assert torch.isfinite(fitted.parameters.pose).all()


def test_a_batch_of_one_equals_its_row(hand: HandModel, truth: tuple[PlacedHands, torch.Tensor]) -> None:
    lifted, points = truth
    start = _away(lifted)
    whole = fit_keypoints(hand, start, points, torch.ones(3, 21), K.expand(3, 3, 3), steps=3)
    one = PlacedHands(
        HandParameters(*(value[1:2] for value in vars(start.parameters).values() if value is not None)),
        start.root_cam[1:2],
    )
    alone = fit_keypoints(hand, one, points[1:2], torch.ones(1, 21), K[None], steps=3)
    torch.testing.assert_close(alone.parameters.pose, whole.parameters.pose[1:2], atol=1e-3, rtol=0)


def test_keypoints_of_another_definition_do_not_bend_the_hand(
    hand: HandModel, truth: tuple[PlacedHands, torch.Tensor]
) -> None:
    lifted, points = truth
    definition = seen_definition(hand.joint_definition)
    assert definition is not None
    joints = hand.joints_of(lifted.parameters) + lifted.root_cam[:, None]
    seen = project(definition @ joints, K.expand(3, 3, 3))
    ones, cameras = torch.ones(3, 21), K.expand(3, 3, 3)
    errors = [
        _error_px(hand, fit_keypoints(hand, lifted, seen, ones, cameras, steps=8, definition=one), points).mean()
        for one in (definition, None)
    ]
    assert errors[0] < 0.3 * errors[1]
