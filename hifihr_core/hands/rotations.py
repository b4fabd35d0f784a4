"""Convert rotation vectors to matrices for whole hands at once, with few operations and finite gradients everywhere."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


def rotation_matrices(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the matrix that rotates by ``|vector|`` radians about ``vector``, for each of `vectors`."""
    bends = bend_matrices(vectors)
    return bends + _identity(bends.dtype, bends.device)


def bend_matrices(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return each rotation matrix minus the identity: the features of MANO's pose blend shapes.

    Computed from the products of quaternion entries by one matrix product; smooth at zero. Equivalent to
    ``roma.rotvec_to_rotmat(vectors) - I`` with a third of the operations, which matters for the small tensors of hands.
    """
    quaternion = rotation_quaternions(vectors)
    products = (quaternion[..., :, None] * quaternion[..., None, :]).flatten(-2)
    return (products @ products_to_bends(vectors.dtype, vectors.device)).unflatten(-1, (3, 3))


def rotation_quaternions(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Return (w, 2x, 2y, 2z) of the unit quaternion (w, x, y, z); the factor 2 saves an operation."""
    half_angle = 0.5 * torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return torch.cat((half_angle.cos(), vectors * torch.sinc(half_angle / torch.pi)), -1)


@lru_cache(maxsize=16)
def _identity(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):  # cached, and a training call may follow an inference call
        return torch.eye(3, dtype=dtype, device=device)


@lru_cache(maxsize=16)
def products_to_bends(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (16, 9) matrix that maps the products of every two entries of (w, 2x, 2y, 2z) to those of R - I."""
    table = torch.zeros(4, 4, 3, 3, dtype=torch.float64)
    for i in range(3):
        for j in range(3):
            # R - I = 2 (v v^T - |v|^2 I) + 2 w [v]_x for the unit quaternion (w, v).
            table[1 + i, 1 + j, i, j] += 0.5
            table[1 + i, 1 + i, j, j] -= 0.5
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        table[0, 1 + k, j, i] += 1
        table[0, 1 + k, i, j] -= 1
    with torch.inference_mode(mode=False):
        return table.reshape(16, 9).to(device, dtype).clone()
