import numpy as np
import torch

from hifihr_core.placed_hands import default_light
from hifihr_core.records import Appearance
from hifihr_core.video.writing.hand_painter import HandPainter

K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
SQUARE = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
FACES = np.array([[0, 2, 1], [0, 3, 2]])


def _painter() -> HandPainter:
    return HandPainter(FACES, Appearance(torch.full((1, 4, 3), 0.9)), default_light(torch.zeros(1)))


def test_only_the_hand_is_painted() -> None:
    canvas = np.full((240, 320, 3), 10, dtype=np.uint8)
    _painter().paint(canvas, SQUARE * 0.1 + [0.0, 0.0, 1.0], K)
    painted = (canvas != 10).any(axis=2)
    rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    assert abs(rows[0] - 90) <= 1
    assert abs(rows[-1] - 149) <= 1
    assert abs(columns[0] - 130) <= 1
    assert abs(columns[-1] - 189) <= 1
    assert (canvas[100:140, 140:180] > 100).all()


def test_hands_at_the_border_and_outside() -> None:
    canvas = np.full((240, 320, 3), 10, dtype=np.uint8)
    _painter().paint(canvas, SQUARE * 0.1 + [5.0, 0.0, 1.0], K)
    _painter().paint(canvas, SQUARE * 0.1 + [0.0, 0.0, -1.0], K)
    assert (canvas == 10).all()
    _painter().paint(canvas, SQUARE * 0.1 + [-0.55, 0.0, 1.0], K)
    assert (canvas[100:140, :20] > 100).all()
    assert (canvas[:, 60:] == 10).all()


def test_large_hands_are_painted_whole() -> None:
    canvas = np.full((960, 1280, 3), 10, dtype=np.uint8)
    big = np.array([[1200.0, 0, 640], [0, 1200, 480], [0, 0, 1]])
    _painter().paint(canvas, SQUARE * 0.3 + [0.0, 0.0, 1.0], big)
    assert (canvas[130:830, 290:990] > 100).all()
    assert (canvas[:110] == 10).all()
