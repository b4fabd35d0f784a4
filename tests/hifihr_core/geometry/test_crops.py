import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifihr_core.geometry import crops


def ramp(height, width):
    """A picture whose red is u and green is v of the pixel centre, times two."""
    v, u = np.mgrid[:height, :width] + 0.5
    return np.stack((2 * u, 2 * v, np.zeros_like(u)), axis=-1).astype(np.uint8)


def test_a_crop_puts_the_middle_of_its_square_in_the_middle():
    T = crops.square_crop(np.array([30.0, 40.0]), 20.0, image_px=100)
    moved = crops.transform_points(np.array([[30.0, 40.0], [20.0, 30.0], [40.0, 50.0]]), T)
    np.testing.assert_allclose(moved, [[50, 50], [0, 0], [100, 100]])


def test_a_crop_of_whole_pixels_copies_them():
    image = ramp(60, 80)
    T = crops.square_crop(np.array([20.0, 30.0]), 10.0, image_px=10)
    np.testing.assert_array_equal(crops.warp_image(image, T, width=10, height=10), image[25:35, 15:25])


def test_a_flip_mirrors_pixels_exactly():
    image = ramp(20, 31)
    flipped = crops.warp_image(image, crops.flip_horizontal(31), width=31, height=20)
    np.testing.assert_array_equal(flipped, image[:, ::-1])


def test_doubling_keeps_the_corners_of_the_picture():
    image = np.full((8, 8), 100, np.uint8)
    image[:, 4:] = 200
    doubled = crops.warp_image(image, crops.scaling(2.0), width=16, height=16)
    assert doubled[8, 6] == 100
    assert doubled[8, 9] == 200
    assert doubled[8, 7] == 125  # a quarter of the way between the two columns of centres
    assert doubled[8, 8] == 175


def test_outside_is_filled():
    T = crops.translation(np.array([5.0, 0.0]))
    moved = crops.warp_image(ramp(10, 10), T, width=10, height=10, fill=(9, 8, 7))
    assert (moved[:, :4] == (9, 8, 7)).all()


@settings(max_examples=40, deadline=None)
@given(
    scale=st.floats(0.1, 3.0),
    angle=st.floats(-np.pi, np.pi),
    center=st.tuples(st.floats(40, 80), st.floats(40, 80)),
)
def test_the_warp_shows_every_pixel_where_the_transform_puts_it(scale, angle, center):
    image = ramp(120, 120)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    about = np.array(center)
    T = crops.translation(np.array([16.0, 16.0])) @ crops.scaling(scale) @ turn @ crops.translation(-about)
    new = crops.warp_image(image, T, width=32, height=32).astype(float)
    v, u = np.mgrid[:32, :32] + 0.5
    source = crops.transform_points(np.stack((u.ravel(), v.ravel()), 1), np.linalg.inv(T)).reshape(32, 32, 2)
    support = 1.5 + 1.5 / scale
    inside = ((source > support) & (source < 120 - support)).all(axis=-1)
    np.testing.assert_allclose(new[inside][:, :2] / 2, source[inside], atol=1.0)
    if inside.any():
        assert abs((new[inside][:, :2] / 2 - source[inside]).mean()) < 0.35  # no half-pixel shift


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    small = crops.warp_image(stripes, crops.scaling(1 / 8), width=32, height=32)
    assert small[4:-4, 4:-4].min() >= 126
    assert small[4:-4, 4:-4].max() <= 129


@given(box=st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 90), st.floats(1, 90)), scale=st.floats(1, 3))
def test_the_square_about_a_box_holds_it(box, scale):
    corners = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]])
    center, side = crops.square_around(corners, scale=scale)
    assert (center - side / 2 <= corners[:2] + 1e-9).all()
    assert (center + side / 2 >= corners[2:] - 1e-9).all()
    np.testing.assert_allclose(side, scale * max(box[2], box[3]))


def test_an_empty_crop_is_refused():
    with pytest.raises(ValueError, match="side_px is 0"):
        crops.square_crop(np.zeros(2), 0.0, image_px=8)
