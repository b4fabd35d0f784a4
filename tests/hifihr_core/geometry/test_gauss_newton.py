import torch

from hifihr_core.geometry.gauss_newton import (
    FIRST_DAMPING,
    damped_step,
    next_damping,
    numeric_jacobian,
    robust_residuals,
    values_and_jacobian,
)


def test_the_jacobian_is_that_of_each_row() -> None:
    x = torch.tensor([[0.3, -0.2], [1.0, 0.5]])

    def residuals(at: torch.Tensor) -> torch.Tensor:
        return torch.stack((at[:, 0] ** 2, at[:, 0] * at[:, 1], at[:, 1].sin()), dim=1)

    found = numeric_jacobian(residuals, x, residuals(x))
    for row, one in enumerate(x):
        expected = torch.autograd.functional.jacobian(lambda at: residuals(at[None])[0], one)
        torch.testing.assert_close(found[row], expected, atol=1.1e-2, rtol=1e-3)


def test_a_linear_problem_is_solved_in_one_step() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix, wanted = torch.randn(3, 7, 4, generator=generator), torch.randn(3, 4, generator=generator)
    residuals = (matrix @ wanted[..., None])[..., 0]
    step = damped_step(matrix, residuals, torch.full((3,), 1e-7))
    torch.testing.assert_close(step, -wanted, atol=1e-4, rtol=1e-4)
    shorter = damped_step(matrix, residuals, torch.full((3,), 10.0))
    assert (shorter.norm(dim=1) < 0.5 * step.norm(dim=1)).all()


def test_an_unknown_without_influence_does_not_change() -> None:
    jacobian = torch.tensor([[[1.0, 0.0], [2.0, 0.0]]])
    step = damped_step(jacobian, torch.ones(1, 2), torch.tensor([FIRST_DAMPING]))
    assert step[0, 1] == 0


def test_damping_falls_after_a_good_step_and_rises_after_a_bad_one() -> None:
    damping = next_damping(torch.tensor([0.1, 0.1, 1e-7]), torch.tensor([True, False, True]))
    torch.testing.assert_close(damping, torch.tensor([0.025, 0.8, 1e-7]))


def test_squares_of_robust_residuals_are_the_pseudo_huber_cost() -> None:
    offset = torch.tensor([[[0.0, 0.0]], [[0.003, -0.004]], [[3.0, 4.0]]])
    found = robust_residuals(offset, 0.05).square().sum(dim=-1)[:, 0]
    distance = torch.tensor([0.0, 0.005, 5.0])
    expected = 2 * 0.05**2 * ((1 + (distance / 0.05) ** 2).sqrt() - 1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-9)


def test_values_and_slopes_in_one_call_are_those_of_two() -> None:
    x = torch.tensor([[0.3, -0.2], [1.0, 0.5]])
    calls = []

    def residuals(at: torch.Tensor) -> torch.Tensor:
        calls.append(len(at))
        return torch.stack((at[:, 0] ** 2, at[:, 0] * at[:, 1], at[:, 1].sin()), dim=1)

    values, jacobian = values_and_jacobian(residuals, x)
    assert calls == [2 * 3]
    torch.testing.assert_close(values, residuals(x))
    torch.testing.assert_close(jacobian, numeric_jacobian(residuals, x, residuals(x)))
