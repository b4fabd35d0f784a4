"""Smooth skin colours on a mesh without a UV chart: a mean skin, standardised coefficients, albedo in (0, 1)."""

import torch
from jaxtyping import Float
from torch import Tensor

#: Mean albedo of human skin, sRGB.
MEAN_SKIN = (0.74, 0.56, 0.47)

#: One standard deviation of the log-odds of (R, G, B) along three axes: melanin, blood, and yellow versus blue.
#: Two standard deviations of the first span from very light to dark brown skin.
_TONES = ((0.62, 0.66, 0.68), (0.07, -0.07, -0.05), (0.02, 0.01, -0.08))

#: Variation of a tone over the hand, relative to its variation between hands.
_LOCAL = 0.14


def skin_color_basis(
    functions: Float[Tensor, "V K"], frequencies: Float[Tensor, " K"]
) -> tuple[Float[Tensor, " M"], Float[Tensor, "X M"]]:
    """Return the mean log-odds (V * 3) and a basis (3 K, V * 3); a coefficient of 1 is one standard deviation.

    `functions` are eigenfunctions of the surface and `frequencies` their eigenvalues. The standard deviation of a
    varying function decreases as 1 / (1 + frequency / f) with f = ``frequencies[4]``; the constant function sets the
    overall tone. Coefficient 3 k + t is the weight of tone t (melanin, blood, yellow) on function k.
    """
    unit = functions / functions.square().mean(0).sqrt()
    size = _LOCAL / (1 + frequencies / frequencies[min(4, len(frequencies) - 1)])
    size[0] = 1.0
    tones = functions.new_tensor(_TONES)
    basis = torch.einsum("vk,k,tc->ktvc", unit, size, tones).flatten(2).flatten(0, 1)
    mean = torch.logit(functions.new_tensor(MEAN_SKIN)).repeat(len(functions))
    return mean, basis


def skin_colors(
    coefficients: Float[Tensor, "B X"], mean: Float[Tensor, " M"], basis: Float[Tensor, "X M"]
) -> Float[Tensor, "B V 3"]:
    """Return the albedo of every vertex, RGB in (0, 1), differentiable in every coefficient.

    `mean` and `basis` are those of `skin_color_basis`.
    """
    return torch.sigmoid(torch.addmm(mean, coefficients, basis)).unflatten(-1, (-1, 3))
