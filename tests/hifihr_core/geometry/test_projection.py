import numpy as np
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.projection import project_points

K = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])


def test_a_point_on_the_axis_is_at_the_principal_point() -> None:
    np.testing.assert_allclose(project_points(np.array([[0.0, 0, 2], [0.1, -0.2, 1]]), K), [[320, 240], [370, 138]])


def test_arrays_and_tensors_are_projected_alike() -> None:
    points = np.random.default_rng(0).normal(size=(2, 5, 3)) + np.array([0, 0, 4])
    expected = project(torch.from_numpy(points), torch.from_numpy(K).expand(2, 3, 3)).numpy()
    np.testing.assert_allclose(project_points(points, K), expected)
