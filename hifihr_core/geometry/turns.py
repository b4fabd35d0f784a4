"""Conversions between rotation vectors, matrices and quaternions.

A rotation vector is the axis times the angle, radians. Quaternions are unit, (x, y, z, w). Gradients are finite
everywhere, including at the identity. Implemented here because importing a library would take longer than a prediction.
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: Below this sine of half the angle, the ratio of angle to sine is 2.
_SMALL = 1e-7


def rotvec_to_rotmat(vectors: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """Return the matrix of each rotation vector, via its quaternion."""
    x, y, z, w = rotvec_to_unitquat(vectors).unbind(dim=-1)
    rows = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def rotmat_to_rotvec(matrices: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3"]:
    """Return the rotation vector of each matrix, with an angle of at most pi."""
    return unitquat_to_rotvec(rotmat_to_unitquat(matrices))


def rotmat_to_unitquat(matrices: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 4"]:
    """Return the quaternion (x, y, z, w) of each matrix.

    Each of the four columns of 4 q q^T is a multiple of q; the one with the largest diagonal entry is the most accurate
    (Shepperd, "Quaternion from rotation matrix", 1978).
    """
    m = matrices
    d = [m[..., i, i] for i in range(3)]
    sums = [(m[..., i, j] + m[..., j, i]) for i, j in ((0, 1), (0, 2), (1, 2))]
    turns = [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]]
    diagonal = [1 + d[0] - d[1] - d[2], 1 - d[0] + d[1] - d[2], 1 - d[0] - d[1] + d[2], 1 + d[0] + d[1] + d[2]]
    columns = torch.stack(
        (
            torch.stack((diagonal[0], sums[0], sums[1], turns[0]), dim=-1),
            torch.stack((sums[0], diagonal[1], sums[2], turns[1]), dim=-1),
            torch.stack((sums[1], sums[2], diagonal[2], turns[2]), dim=-1),
            torch.stack((turns[0], turns[1], turns[2], diagonal[3]), dim=-1),
        ),
        dim=-2,
    )
    largest = torch.stack(diagonal, dim=-1).argmax(dim=-1)
    chosen = columns.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4))[..., 0, :]
    return torch.nn.functional.normalize(chosen, dim=-1)


def unitquat_to_rotvec(quaternions: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3"]:
    """Return the rotation vector of each unit quaternion (x, y, z, w), with an angle of at most pi."""
    shorter = torch.where(quaternions[..., 3:] < 0, -quaternions, quaternions)
    axis, w = shorter[..., :3], shorter[..., 3:]
    square = axis.square().sum(dim=-1, keepdim=True)
    is_small = square < _SMALL**2
    sine = torch.where(is_small, 1.0, square).sqrt()
    return axis * torch.where(is_small, 2 / w, 2 * torch.atan2(sine, w) / sine)


def rotvec_to_unitquat(vectors: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 4"]:
    """Return the unit quaternion (x, y, z, w) of each rotation vector."""
    square = vectors.square().sum(dim=-1, keepdim=True)
    is_small = square < _SMALL**2
    half = torch.where(is_small, 1.0, square).sqrt() / 2
    ratio = torch.where(is_small, 0.5 - square / 48, half.sin() / (2 * half))
    return torch.cat((vectors * ratio, torch.where(is_small, 1 - square / 8, half.cos())), dim=-1)


def quat_product(first: Float[Tensor, "*B 4"], second: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 4"]:
    """Return the quaternion that rotates by `second`, then by `first`."""
    a, b = first[..., :3], second[..., :3]
    w, v = first[..., 3:], second[..., 3:]
    axis = w * b + v * a + torch.linalg.cross(a, b)
    return torch.cat((axis, w * v - (a * b).sum(dim=-1, keepdim=True)), dim=-1)


def compose_rotvecs(first: Float[Tensor, "*B 3"], second: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    """Return the rotation vector that rotates by `second`, then by `first`."""
    return unitquat_to_rotvec(quat_product(rotvec_to_unitquat(first), rotvec_to_unitquat(second)))


def gram_schmidt(columns: Float[Tensor, "*B 3 2"]) -> Float[Tensor, "*B 3 3"]:
    """Return the rotation whose first two columns are the given ones, made orthonormal by Gram-Schmidt."""
    x = torch.nn.functional.normalize(columns[..., 0], dim=-1)
    rest = columns[..., 1]
    y = torch.nn.functional.normalize(rest - (x * rest).sum(dim=-1, keepdim=True) * x, dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1)
