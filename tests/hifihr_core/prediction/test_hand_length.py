from dataclasses import replace

import numpy as np
import pytest
import torch

from hifihr_core.placed_hands import LitHands, pose_hands
from hifihr_core.prediction import Predictor, PredictSettings
from hifihr_core.prediction.hand_length import hand_lengths_m, relative_spread, with_length


@pytest.fixture
def hands(shoot) -> LitHands:
    shots = [shoot(seed) for seed in (0, 1)]
    return LitHands(
        *(
            replace(
                shots[0].state.parameters,
                **{
                    name: torch.cat([getattr(one.state.parameters, name) for one in shots])
                    for name in ("global_orient", "pose", "shape", "texture")
                },
            ),
            torch.cat([one.state.root_cam for one in shots]),
        ),
        light=replace(
            shots[0].state.light,
            **{
                name: torch.cat([getattr(one.state.light, name) for one in shots])
                for name in ("ambient", "color", "direction")
            },
        ),
    )


def test_the_length_of_a_hand_does_not_depend_on_its_pose(hand, hands):
    flat = replace(hands.parameters, pose=torch.zeros_like(hands.parameters.pose))
    bent, straight = hand_lengths_m(hand, hands.parameters), hand_lengths_m(hand, flat)
    torch.testing.assert_close(bent, straight, rtol=0.02, atol=0)
    assert 0.15 < float(bent[0]) < 0.22


def test_a_hand_gets_the_given_length_and_looks_the_same(hand, hands):
    wanted = torch.tensor([0.165, 0.21])
    sized = with_length(hand, hands, wanted)
    torch.testing.assert_close(hand_lengths_m(hand, sized.parameters), wanted, rtol=0, atol=1e-4)
    ratio = wanted / hand_lengths_m(hand, hands.parameters)
    torch.testing.assert_close(sized.root_cam, hands.root_cam * ratio[:, None])
    K = torch.tensor([[220.0, 0, 80], [0, 220, 60], [0, 0, 1]]).expand(2, -1, -1)
    before, after = (pose_hands(hand, one, K).joints_px for one in (hands, sized))
    size = np.ptp(before.numpy(), axis=1).max()
    assert float((before - after).norm(dim=-1).mean()) < 0.03 * size


def test_hand_lengths_differ_by_a_few_percent_between_people(hand, hands):
    spread = relative_spread(hand, hands.parameters)
    assert ((spread > 0.02) & (spread < 0.15)).all()


def test_a_known_length_fixes_size_and_makes_depth_more_certain(hand, lifter, shoot):
    shot = shoot(0)
    results = {}
    for length_m in (None, 0.2):
        settings = PredictSettings(hand_length_m=length_m)
        predictor = Predictor(hand, network=None, lifter=lifter, settings=settings)
        [results[length_m]] = predictor.predict(shot.image, K=shot.K, detections=[shot.detection]).hands
    free, sized = results[None], results[0.2]
    bones = np.linalg.norm(np.diff(sized.joints_cam[[0, 9, 10, 11, 12]], axis=0), axis=1)
    assert bones.sum() == pytest.approx(0.2, abs=2e-4)
    assert sized.joints_cam[9, 2] != pytest.approx(free.joints_cam[9, 2], rel=0.001)
    relative = [one.report["depth_sigma_m"] / np.linalg.norm(one.joints_cam[9]) for one in (free, sized)]
    assert 0.09 < relative[1] < relative[0] < 0.3


def test_hands_of_one_person_share_their_length(hand, lifter, shoot):
    first = shoot(0)
    other = replace(first.detection, box_px=first.detection.box_px + 3, keypoints_px=first.detection.keypoints_px * 1.1)
    predictor = Predictor(hand, network=None, lifter=lifter, settings=PredictSettings(same_person=True))
    hands = predictor.predict(first.image, K=first.K, detections=[first.detection, other]).hands
    lengths = [np.linalg.norm(np.diff(one.joints_cam[[0, 9, 10, 11, 12]], axis=0), axis=1).sum() for one in hands]
    assert lengths[0] == pytest.approx(lengths[1], abs=2e-4)
