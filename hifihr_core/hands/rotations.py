"""Rotation vectors to matrices for whole hands at once, few operations and a gradient everywhere."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotation_matrices(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation by ``|vector|`` radians about ``vector`` (Rodrigues' formula).

    Smooth through zero: the two coefficients are written with sinc, which has a gradient there. A twin of
    ``roma.rotvec_to_rotmat`` with a third of its operations; skinning spends its time on such small tensors.
    """
    squares = (vectors * vectors).sum(-1, keepdim=True)
    # The gradient of a square root is infinite at 0; the shift changes no float32 angle above 1e-6.
    angle = (squares + 1e-20).sqrt()
    first = torch.sinc(angle / torch.pi)
    half = torch.sinc(angle / (2 * torch.pi))
    second = 0.5 * half * half
    x, y, z = (first * vectors).unbind(-1)
    outer = (second * vectors)[..., :, None] * vectors[..., None, :]
    diagonal = 1 - second * squares
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    return outer + cross + torch.diag_embed(diagonal.expand_as(vectors))
