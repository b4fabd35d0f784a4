import numpy as np
import pytest

from hifihr_core.video.tracking.palm_motion import hand_size_px, moved_on, palm_px, palm_velocity


def _turned(joints: np.ndarray, angle: float, scale: float, shift: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    middle = palm_px(joints)
    return (joints - middle) @ np.array([[cos, sin], [-sin, cos]]) * scale + middle + shift


def test_a_moving_palm_is_measured_and_moved_on(seen_hand) -> None:
    joints = seen_hand(200.0).joints_px
    later = _turned(joints, 0.1, 1.02, np.array([6.0, -3.0]))
    velocity = palm_velocity(joints, later, 0.1)
    assert velocity == pytest.approx([60.0, -30.0, 1.0, np.log(1.02) / 0.1])
    lasting_s = 0.1 / 1.2
    expected = _turned(later, lasting_s, np.exp(velocity[3] * lasting_s), np.array([60.0, -30.0]) * lasting_s)
    np.testing.assert_allclose(moved_on(later, velocity, 0.1), expected, atol=1e-9)


def test_lost_hands_do_not_run_away(seen_hand) -> None:
    joints = seen_hand(200.0).joints_px
    far = moved_on(joints, np.array([1e5, 0.0, 50.0, 50.0]), 1.0)
    assert np.linalg.norm(palm_px(far) - palm_px(joints)) == pytest.approx(1.5 * hand_size_px(joints))
    assert hand_size_px(far) < 1.6 * hand_size_px(joints)


def test_fingers_do_not_move_a_palm(seen_hand) -> None:
    joints = seen_hand(200.0).joints_px
    bent = joints.copy()
    bent[[8, 12, 16, 20]] += 40.0
    np.testing.assert_allclose(palm_velocity(joints, bent, 1 / 30), 0.0, atol=1e-9)
