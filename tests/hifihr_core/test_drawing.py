import numpy as np
import torch

from hifihr_core.drawing import FINGER_COLORS, blend, draw_skeleton, to_bytes


def test_bytes_of_a_tensor_are_rounded_and_clamped() -> None:
    image = torch.tensor([0.0, 0.5, 1.5]).reshape(3, 1, 1).expand(3, 2, 4)
    picture = to_bytes(image)
    assert picture.shape == (2, 4, 3)
    assert picture[0, 0].tolist() == [0, 128, 255]


def test_bones_have_the_colour_of_their_finger_and_a_rim() -> None:
    joints = np.zeros((21, 2))
    joints[:, 0], joints[:, 1] = np.arange(21) * 4 + 5, 20
    joints[1:, 1] = 60
    picture = np.zeros((80, 100, 3), np.uint8)
    draw_skeleton(picture, joints, width=2)
    assert picture[59, int(joints[19, 0])].tolist() == list(FINGER_COLORS[4])
    rimmed = np.full((80, 100, 3), 255, np.uint8)
    draw_skeleton(rimmed, joints, color=(0, 200, 0), width=2, rim=(0, 0, 0))
    assert (0, 200, 0) in {tuple(color) for color in rimmed.reshape(-1, 3).tolist()}
    assert rimmed.max(axis=2).min() < 100  # darker than both the bones and the paper


def test_joints_without_a_position_are_drawn_without_an_error() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    joints = np.full((21, 2), 1e12)
    joints[3] = np.nan
    draw_skeleton(picture, joints)


def test_a_surface_lies_over_a_picture_by_its_coverage() -> None:
    below = np.full((1, 2, 3), 100, np.uint8)
    over = blend(below, np.ones((1, 2, 3)), np.array([[0.0, 1.0]]))
    assert over[0].tolist() == [[100] * 3, [255] * 3]
