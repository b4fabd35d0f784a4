import numpy as np
import torch

from hifihr_core.rendering.windows import Window, window_about

K = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])


def test_window_holds_the_points_and_is_drawn_in_steps() -> None:
    points = np.array([[0.0, 0.0, 1.0], [0.1, -0.05, 1.0]])  # pixels (50, 40) and (60, 35)
    assert window_about(points, K, width=100, height=80, step_px=8, margin_px=2) == Window(48, 33, 62, 42, 16, 16)


def test_window_ends_with_the_picture() -> None:
    points = np.array([[0.4, 0.3, 1.0], [0.6, 0.5, 1.0]])  # pixels (90, 70) and (110, 90)
    window = window_about(points, K, width=100, height=80, margin_px=0)
    assert (window.left, window.top, window.right, window.bottom) == (90, 70, 100, 80)
    assert window_about(points + np.array([1.0, 0, 0]), K, width=100, height=80) is None


def test_points_beside_the_camera_take_the_whole_picture() -> None:
    window = window_about(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -0.2]]), K, width=100, height=80)
    assert (window.left, window.top, window.right, window.bottom) == (0, 0, 100, 80)


def test_drawings_are_in_the_right_place() -> None:
    window, picture = Window(3, 2, 7, 5, 8, 8), torch.zeros(3, 10, 12)
    shifted = window.K(torch.from_numpy(K)[None])[0]
    assert shifted[:2, 2].tolist() == [47.0, 38.0]
    window.cut(picture)[:] = window.trim(torch.ones(3, 8, 8))
    assert picture.sum() == 3 * 3 * 4
    assert picture[:, 2:5, 3:7].all()
