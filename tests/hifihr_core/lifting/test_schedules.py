"""Learning-rate factors and moving averages, worked by hand."""

import pytest
import torch

from hifihr_core.config.tree import TrainSettings
from hifihr_core.lifting.schedules import average_decay, half_cosine, move_towards, warm_up
from hifihr_core.training.optimizer import SCHEDULES


def test_factors_of_the_learning_rate():
    assert [warm_up(step, 4) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0
    assert [half_cosine(done) for done in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_the_cosine_ends_at_lr_end():
    cosine = SCHEDULES["cosine"](TrainSettings(lr_end=0.2))
    assert [cosine(0, 0.0, done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.6, 0.2])


def test_an_average_moves_floats_and_copies_counters():
    mean = {"w": torch.zeros(2), "n": torch.tensor(1)}
    move_towards(mean, {"w": torch.ones(2), "n": torch.tensor(5)}, decay=0.75)
    assert mean["w"].tolist() == [0.25, 0.25]
    assert mean["n"] == 5
    assert average_decay(0, 0.99) == 0.1
    assert average_decay(10_000, 0.99) == 0.99
