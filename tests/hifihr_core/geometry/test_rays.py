import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.geometry.rays import look_at_keypoints, rotation_to_axis
from hifihr_core.skeleton import MIDDLE_JOINTS, WRIST

K = torch.tensor([[[500.0, 0.0, 320.0], [0.0, 520.0, 240.0], [0.0, 0.0, 1.0]]], dtype=torch.float64)

STRAIGHT = torch.tensor([[[600.0, 0.0, 0.0], [0.0, 600.0, 0.0], [0.0, 0.0, 1.0]]])


def _points(seed: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 21, 2, generator=generator, dtype=torch.float64) * 200 + 100


def test_rotation_takes_the_ray_to_the_axis() -> None:
    R = rotation_to_axis(torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64))
    ray = torch.tensor([math.sqrt(0.5), 0.0, math.sqrt(0.5)], dtype=torch.float64)
    torch.testing.assert_close(R[0] @ ray, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(R[1], torch.eye(3, dtype=torch.float64))
    # The smallest rotation leaves the axis it turns about where it is.
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(R[0] @ up, up)


@given(st.integers(0, 1000))
def test_pattern_gives_the_keypoints_back(seed: int) -> None:
    points = _points(seed)
    pattern = look_at_keypoints(points, torch.ones(1, 21, dtype=torch.float64), K)
    plane = pattern.center[:, None] + pattern.extent[:, None, None] * pattern.points
    rays = torch.cat((plane, torch.ones_like(plane[..., :1])), dim=-1) @ pattern.R_virtual_cam
    pixels = rays @ K.mT
    torch.testing.assert_close(pixels[..., :2] / pixels[..., 2:], points)
    assert pattern.points.abs().max() == 1


@given(st.integers(0, 1000), st.integers(0, 20))
def test_a_joint_without_confidence_changes_nothing(seed: int, joint: int) -> None:
    points = _points(seed)
    confidence = torch.ones(1, 21, dtype=torch.float64)
    confidence[0, joint] = 0
    moved = points.clone()
    moved[0, joint] = -999.0
    a, b = (look_at_keypoints(p, confidence, K) for p in (points, moved))
    torch.testing.assert_close(a.points, b.points)
    torch.testing.assert_close(a.extent, b.extent)
    assert (a.points[0, joint] == 0).all()


def test_no_confidence_at_all_is_finite() -> None:
    pattern = look_at_keypoints(_points(0), torch.zeros(1, 21, dtype=torch.float64), K)
    assert (pattern.points == 0).all()
    assert pattern.extent.isfinite().all()
    torch.testing.assert_close(pattern.R_virtual_cam[0], torch.eye(3, dtype=torch.float64))


def test_an_upright_pattern_is_the_same_for_every_turn_of_the_picture() -> None:
    generator = torch.Generator().manual_seed(5)
    points = 40 * torch.randn(1, 21, 2, generator=generator)
    points[:, MIDDLE_JOINTS] += torch.tensor([10.0, -120.0])
    turned = [points @ _turn(angle).mT for angle in (0.0, 1.0, -2.5)]
    patterns = [look_at_keypoints(one, torch.ones(1, 21), STRAIGHT, upright=True) for one in turned]
    for pattern in patterns:
        hand = pattern.points[:, MIDDLE_JOINTS].mean(dim=1) - pattern.points[:, WRIST]
        assert float(hand[0, 1]) < 0
        assert abs(float(hand[0, 0])) < 0.05 * abs(float(hand[0, 1]))
        torch.testing.assert_close(pattern.points, patterns[0].points, atol=0.03, rtol=0.03)
        torch.testing.assert_close(pattern.R_virtual_cam @ pattern.R_virtual_cam.mT, torch.eye(3)[None])


def test_a_pattern_without_a_wrist_is_not_rolled() -> None:
    points, confidence = torch.rand(1, 21, 2) * 100, torch.ones(1, 21)
    confidence[:, WRIST] = 0
    pattern = look_at_keypoints(points, confidence, STRAIGHT, upright=True)
    torch.testing.assert_close(pattern.R_virtual_cam, look_at_keypoints(points, confidence, STRAIGHT).R_virtual_cam)


def _turn(angle: float) -> torch.Tensor:
    cosine, sine = math.cos(angle), math.sin(angle)
    return torch.tensor([[cosine, -sine], [sine, cosine]])
