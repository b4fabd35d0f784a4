import numpy as np
import pytest

from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, about_joints, about_palms, joined, upright
from hifihr_core.geometry.crops import transform_points


def region(turn: float) -> Regions:
    return Regions(np.array([[100.0, 60.0]]), np.array([50.0]), np.array([turn]))


def test_a_region_that_is_not_turned_is_a_crop():
    T_crop_photo = region(0.0).transforms(224)[0]
    corners = transform_points(np.array([[75.0, 35.0], [125.0, 85.0]]), T_crop_photo)
    np.testing.assert_allclose(corners, [[0, 0], [224, 224]], atol=1e-9)


def test_a_hand_that_points_right_points_up_in_a_region_rotated_by_a_quarter_turn():
    T_crop_photo = region(np.pi / 2).transforms(224)[0]
    middle, right_of_it = transform_points(np.array([[100.0, 60.0], [125.0, 60.0]]), T_crop_photo)
    np.testing.assert_allclose(middle, [112, 112], atol=1e-9)
    np.testing.assert_allclose(right_of_it, [112, 0], atol=1e-9)


def test_a_palm_whose_fingers_point_right_has_its_region_on_the_right():
    points = np.zeros((1, 7, 2))
    points[0, 2] = (30.0, 0.0)  # wrist at the origin, middle MCP 30 px to the right
    found = about_palms(np.array([[15.0, 0.0]]), np.array([40.0]), points)
    np.testing.assert_allclose(found.center_px, [[15 + 0.5 * 40, 0]], atol=1e-9)
    np.testing.assert_allclose([found.side_px[0], found.turn[0]], [2.6 * 40, np.pi / 2])


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5, -1.9])
def test_the_region_about_joints_turns_with_the_hand(angle):
    joints = np.random.default_rng(0).normal(size=(1, 21, 2)) * 20 + 100
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    still, turned = about_joints(joints), about_joints(joints @ rotation.T)
    np.testing.assert_allclose(turned.center_px, still.center_px @ rotation.T, atol=1e-9)
    np.testing.assert_allclose(turned.side_px, still.side_px)
    np.testing.assert_allclose(np.exp(1j * turned.turn), np.exp(1j * (still.turn + angle)))


def test_moves_are_in_the_axes_of_the_region():
    moved = region(np.pi / 2).moved(np.array([[0.0, -0.5]]), np.array([2.0]), np.array([0.1]))
    np.testing.assert_allclose(moved.center_px, [[125.0, 60.0]], atol=1e-9)  # up in the region: right in the photo
    np.testing.assert_allclose([moved.side_px[0], moved.turn[0]], [100.0, np.pi / 2 + 0.1])


def test_joined_repeated_and_chosen():
    both = joined([region(0.0), upright(np.array([1.0, 2.0]), 3.0)])
    assert len(joined([])) == 0
    np.testing.assert_array_equal(both.repeated(2).side_px, [50, 50, 3, 3])
    np.testing.assert_array_equal(both[np.array([False, True])].center_px, [[1, 2]])


def test_a_small_cut_of_a_large_photo_is_its_average():
    checkers = np.indices((512, 512)).sum(axis=0) % 2 * 255  # would alias to black or white without averaging
    image = np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8)
    cut = Pyramid(image).cut(upright(np.array([256.0, 256.0]), 512.0), 64)[0]
    assert abs(cut.astype(int) - 127).max() <= 2


def test_mirrored_cuts_are_the_others_left_to_right():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    two = joined([upright(np.array([30.0, 20.0]), 50.0)] * 2)
    plain, mirrored = Pyramid(image).cut(two, 32, mirrored=np.array([False, True]))
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])
