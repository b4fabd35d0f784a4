"""Damped Gauss-Newton for batches of small least-squares problems: a numerical Jacobian, one step, and its damping.

Source: Madsen, Nielsen, Tingleff, "Methods for non-linear least squares problems", 2004, section 3.2. One-sided
differences with a step of 0.01 are accurate to half a per cent (0.01 / 2 from curvature; 1e-7 / 0.01 from float32
rounding, for a joint at one metre). That is enough for Gauss-Newton, and costs half as much as central differences.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Initial damping, and its range.
FIRST_DAMPING = 1e-2
_DAMPING = (1e-7, 1e7)
_DIFFERENCE = 1e-2


def robust_residuals(offset: Float[Tensor, "*B D"], outlier: float) -> Float[Tensor, "*B D"]:
    """Scale down offsets beyond `outlier`, so that the sum of their squares is the pseudo-Huber cost.

    This limits the influence of outliers, while the problem remains one of least squares.
    """
    distance = (offset.square().sum(dim=-1, keepdim=True) / outlier**2 + 1e-12).sqrt()
    return offset * (2 / (1 + (1 + distance.square()).sqrt())).sqrt()


def numeric_jacobian(
    residuals: Callable[[Float[Tensor, "M D"]], Float[Tensor, "M R"]],
    x: Float[Tensor, "B D"],
    values: Float[Tensor, "B R"],
) -> Float[Tensor, "B R D"]:
    """Return the derivatives of `residuals` at `x`, where they have the known `values`, by finite differences.

    `residuals` is called once, with D adjacent copies of every row of `x`, each perturbed along one axis.
    """
    steps = torch.eye(x.shape[1], dtype=x.dtype, device=x.device) * _DIFFERENCE
    moved = residuals((x[:, None] + steps).flatten(0, 1)).unflatten(0, x.shape)
    return ((moved - values[:, None]) / _DIFFERENCE).mT


def values_and_jacobian(
    residuals: Callable[[Float[Tensor, "M D"]], Float[Tensor, "M R"]], x: Float[Tensor, "B D"]
) -> tuple[Float[Tensor, "B R"], Float[Tensor, "B R D"]]:
    """Return the residuals at `x`, and their derivatives by finite differences, from one call of `residuals`.

    It gets D + 1 adjacent copies of every row of `x`: the row itself, then copies perturbed along one axis each. For
    models of many small operations this takes half the time of two calls.
    """
    size = x.shape[1]
    steps = torch.eye(size + 1, size, dtype=x.dtype, device=x.device).roll(1, dims=0) * _DIFFERENCE
    found = residuals((x[:, None] + steps).flatten(0, 1)).unflatten(0, (len(x), size + 1))
    values, moved = found[:, 0], found[:, 1:]
    return values, ((moved - values[:, None]) / _DIFFERENCE).mT


def damped_step(
    jacobian: Float[Tensor, "B R D"], residuals: Float[Tensor, "B R"], damping: Float[Tensor, " B"]
) -> Float[Tensor, "B D"]:
    """Return the least-squares step with Marquardt's damping, which scales the diagonal of J^T J by 1 + `damping`."""
    normal = jacobian.mT @ jacobian
    gradient = (jacobian.mT @ residuals[..., None])[..., 0]
    ridge = torch.diag_embed(damping[:, None] * torch.diagonal(normal, dim1=1, dim2=2).clamp_min(1e-9))
    step = torch.linalg.solve((normal + ridge).double(), gradient.double())  # a system of about 40 unknowns
    return -step.to(residuals.dtype)


def next_damping(damping: Float[Tensor, " B"], better: Bool[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Return less damping after a successful step, and more after a failed one."""
    return torch.where(better, damping / 4, damping * 8).clamp(*_DAMPING)
