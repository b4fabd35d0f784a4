"""Compiled loops do what plain NumPy and torch do."""

import numpy as np
import pytest
import torch

from hifihr_core.augmentation.draws import AugmentRanges, Squares, draw, place
from hifihr_core.augmentation.moves import _RULES, _move
from hifihr_core.geometry.crops import image_scale, image_scales, opencv_matrices, opencv_matrix

COUNT, IMAGE_PX = 40, 224


def drawn():
    """Draws, cameras with a skew, and squares of 40 samples; some are mirrored."""
    random = np.random.default_rng(0)
    K = np.tile(np.eye(3), (COUNT, 1, 1))
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 1] = *random.uniform(150, 500, (2, COUNT)), random.uniform(-5, 5, COUNT)
    K[:, :2, 2] = random.uniform(60, 140, (COUNT, 2))
    ranges = AugmentRanges(flip=0.4, scale=(0.6, 1.6), shift=0.3)
    draws = draw(ranges, [f"k{i}" for i in range(COUNT)], seed=0, epoch=0, image_px=IMAGE_PX)
    squares = Squares(
        random.uniform(50, 150, (COUNT, 2)), random.uniform(80, 200, COUNT), random.uniform(90, 300, COUNT)
    )
    return draws, K, squares


def placed_by_matrices(draws, K, squares, b):
    """`place` for one sample, as products of 3 x 3 matrices."""
    sign, width = (-1.0, squares.width_px[b]) if draws.mirrored[b] else (1.0, 0.0)
    mirror, T_flip = np.diag([sign, 1, 1]), np.array([[sign, 0, width], [0, 1, 0], [0, 0, 1]])
    cos, sin = np.cos(draws.angle_rad[b]), np.sin(draws.angle_rad[b])
    roll = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    K_flipped = T_flip @ K[b] @ mirror
    T_rolled = K_flipped @ roll @ np.linalg.inv(K_flipped) @ T_flip
    zoom = draws.scale[b] * IMAGE_PX / squares.side_px[b]
    center = (T_rolled @ (*squares.center_px[b], 1))[:2]
    T_crop = np.diag([zoom, zoom, 1.0])
    T_crop[:2, 2] = IMAGE_PX * (0.5 + draws.shift[b]) - zoom * center
    return T_crop @ T_rolled, T_crop @ K_flipped, roll @ mirror


def test_crops_are_placed_as_products_of_matrices_place_them():
    draws, K, squares = drawn()
    assert 5 < draws.mirrored.sum() < 35
    T_new_old, K_new, motion = place(draws, K, squares, image_px=IMAGE_PX)
    for b in range(COUNT):
        T, A, M = placed_by_matrices(draws, K, squares, b)
        np.testing.assert_allclose(T_new_old[b], T, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(K_new[b], A, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(motion.M_new_old[b], M, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("cam", (21, 3)), ("cam", (3,)), ("px", (21, 2)), ("found_px", (21, 2)), ("global_rotation", (3,))],
)
def test_a_label_moves_in_its_loop_as_in_torch(name, shape):
    draws, K, squares = drawn()
    motion = place(draws, K, squares, image_px=IMAGE_PX)[2]
    values = 2 * torch.randn(COUNT, *shape, generator=torch.Generator().manual_seed(0))
    values[3] = 0
    if name == "found_px":
        values[:, 5] = 0
    rule = _RULES[name]
    assert rule.loop is not None
    found, expected = _move(rule, values, motion), rule.move(values, motion)
    if name == "global_rotation":  # both signs of an axis are the same turn by pi
        from_found, from_expected = (torch.linalg.matrix_exp(_crossing(turn)) for turn in (found, expected))
        torch.testing.assert_close(from_found, from_expected, atol=2e-6, rtol=0)
    else:
        torch.testing.assert_close(found, expected, atol=2e-4 if "px" in name else 2e-6, rtol=1e-6)


def _crossing(vectors):
    x, y, z = vectors.double().T
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).reshape(-1, 3, 3)


def test_matrices_of_a_batch_are_those_of_each_transform():
    T_new_old = place(*drawn(), image_px=IMAGE_PX)[0]
    for T, matrix, scale in zip(T_new_old, opencv_matrices(T_new_old), image_scales(T_new_old), strict=True):
        np.testing.assert_allclose(matrix, opencv_matrix(T), rtol=1e-12, atol=1e-12)
        assert scale == pytest.approx(image_scale(T))
