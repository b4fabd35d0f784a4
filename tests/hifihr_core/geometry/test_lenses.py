"""The assumed camera."""

from math import radians, tan

import numpy as np
import pytest

from hifihr_core.geometry.lenses import DEFAULT_FOV_DEG, default_focal_px, focal_from_fov, ideal_K


def test_focal_from_fov_is_the_pinhole_formula() -> None:
    assert focal_from_fov(90.0, 30, 40) == pytest.approx(25)
    assert tan(radians(30)) * focal_from_fov(60.0, 30, 40) == pytest.approx(25)


def test_the_corners_of_the_assumed_camera_are_its_field_of_view_apart() -> None:
    K = ideal_K(default_focal_px(640, 480), 640, 480)
    rays = np.linalg.solve(K, np.array([[0.0, 640.0], [0.0, 480.0], [1.0, 1.0]]))
    rays /= np.linalg.norm(rays, axis=0)
    assert np.degrees(np.arccos(rays[:, 0] @ rays[:, 1])) == pytest.approx(DEFAULT_FOV_DEG)
