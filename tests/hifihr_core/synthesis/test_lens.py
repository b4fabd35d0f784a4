"""The compiled CPU code gives the same results as torch, which other devices use."""

import torch

from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.lens import darken_folds, expose_film, roll_off, uneven_light


def test_the_film_of_a_cpu_is_the_twin_of_torch():
    image = 1.6 * torch.rand(3, 3, 20, 30, generator=torch.Generator().manual_seed(0)) - 0.1
    field = uneven_light((20, 30), Dice(3, 0, torch.device("cpu")))
    assert field.shape == (3, 1, 20, 30)
    assert 0.35 <= float(field.min()) < 1 < float(field.max()) <= 1.6
    expected = roll_off(image * field)
    torch.testing.assert_close(expose_film(image, field), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(expose_film(image.double(), field.double()).float(), expected, atol=1e-6, rtol=0)
    assert float(expected.max()) > 0.9
    assert (image * field > 1).any()


def test_folds_of_a_cpu_are_the_twin_of_torch():
    depth = 0.5 + 0.03 * torch.rand(2, 32, 48, generator=torch.Generator().manual_seed(1))
    depth[:, :, 30:] = torch.inf
    image, strength = torch.ones(2, 3, 32, 48), torch.tensor([0.5, 0.2])
    fast = darken_folds(image, depth, strength)
    slow = darken_folds(image.double(), depth.double(), strength.double())
    torch.testing.assert_close(fast.double(), slow, atol=1e-4, rtol=0)
    assert 0.5 < float(fast[0].min()) < 0.95
    assert (fast[..., 30:] == 1).all()
