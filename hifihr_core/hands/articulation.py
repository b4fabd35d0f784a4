"""Convert rotation vectors to the motions of all bones in one step, with an explicit gradient.

Posing a hand takes two large products and about sixty tiny operations on (B, J, 3, 3) tensors. If autograd records the
tiny ones separately, they take most of the time. Here they are one function with one gradient; on a CPU, it runs in
compiled loops. `articulate_slowly` is its specification in plain torch.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from hifihr_core.hands.articulation_loops import bend_bones, unbend_bones
from hifihr_core.hands.rotations import bend_matrices, products_to_bends, rotation_quaternions
from hifihr_core.hands.skinning import joint_motions, tree_levels

#: The types of numbers for which there are compiled loops on a CPU.
_COMPILED = (torch.float32, torch.float64)


def articulate(
    vectors: Float[Tensor, "B J 3"], rest_joints: Float[Tensor, "B J 3"], parents: tuple[int, ...]
) -> tuple[Float[Tensor, "B J 3 3"], Float[Tensor, "B J 3 4"]]:
    """Return the rotation matrices minus the identity, and each bone's rigid motion [R | t] from rest to pose.

    ``vectors[b, j]`` is the rotation vector of joint j relative to its parent, radians. Once differentiable in
    `vectors` and `rest_joints`; for second derivatives, use `articulate_slowly`.
    """
    if vectors.device.type == "cpu" and vectors.dtype == rest_joints.dtype and vectors.dtype in _COMPILED:
        return _ArticulateInLoops.apply(vectors, rest_joints, parents)
    return _Articulate.apply(vectors, rest_joints, parents)


def articulate_slowly(
    vectors: Float[Tensor, "B J 3"], rest_joints: Float[Tensor, "B J 3"], parents: tuple[int, ...]
) -> tuple[Float[Tensor, "B J 3 3"], Float[Tensor, "B J 3 4"]]:
    """Compute the same as `articulate` with separate torch operations, which can be differentiated repeatedly."""
    bends = bend_matrices(vectors)
    identity = torch.eye(3, dtype=bends.dtype, device=bends.device)
    return bends, joint_motions(bends + identity, rest_joints, parents)


class _ArticulateInLoops(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, rest_joints: Tensor, parents: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        vectors, rest_joints = vectors.detach().contiguous(), rest_joints.detach().contiguous()
        bends, motions = vectors.new_empty(*vectors.shape, 3), vectors.new_empty(*vectors.shape, 4)
        bend_bones(*(t.numpy() for t in (vectors, rest_joints)), _as_array(parents), bends.numpy(), motions.numpy())
        ctx.save_for_backward(vectors, rest_joints, bends, motions)
        ctx.parents = parents
        return bends, motions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_bends: Tensor, grad_motions: Tensor) -> tuple[Tensor, Tensor, None]:
        vectors, rest_joints, bends, motions = (tensor.detach() for tensor in ctx.saved_tensors)
        grads = torch.empty_like(vectors), torch.empty_like(rest_joints)
        inputs = (bends, motions, grad_bends.contiguous(), grad_motions.contiguous(), *grads)
        unbend_bones(
            vectors.numpy(), rest_joints.numpy(), _as_array(ctx.parents), *(tensor.numpy() for tensor in inputs)
        )
        return *grads, None


@lru_cache(maxsize=16)
def _as_array(parents: tuple[int, ...]) -> Int64[np.ndarray, " J"]:
    return np.array(parents, np.int64)


class _Articulate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, rest_joints: Tensor, parents: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        quaternions = rotation_quaternions(vectors)
        products = (quaternions[..., :, None] * quaternions[..., None, :]).flatten(-2)
        bends = (products @ products_to_bends(vectors.dtype, vectors.device)).unflatten(-1, (3, 3))
        # A local motion rotates about the rest joint r: x -> R (x - r) + r, so its shift is (I - R) r.
        shift = -(bends @ rest_joints[..., None])
        listed, sizes, places, back = tree_levels(parents, vectors.device)
        local = torch.cat((bends, shift), -1)
        local.diagonal(dim1=-2, dim2=-1).add_(1)
        locals_ = local.index_select(1, listed).split(sizes, 1)
        worlds = [locals_[0]]
        for own, place in zip(locals_[1:], places, strict=True):
            above = worlds[-1] if place is None else worlds[-1].index_select(1, place)
            moved = above[..., :3] @ own
            moved[..., 3] += above[..., 3]
            worlds.append(moved)
        motions = torch.cat(worlds, 1).index_select(1, back)
        ctx.save_for_backward(vectors, quaternions, bends, rest_joints, *locals_, *worlds)
        ctx.parents = parents
        return bends, motions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_bends: Tensor, grad_motions: Tensor) -> tuple[Tensor, Tensor, None]:
        vectors, quaternions, bends, rest_joints, *levels = ctx.saved_tensors
        grad_local = _chain_gradient(grad_motions, levels, ctx.parents)
        grad_turn, grad_shift = grad_local[..., :3], grad_local[..., 3]
        grad_rest = -(bends.transpose(-1, -2) @ grad_shift[..., None])[..., 0]
        grad_bends = grad_bends + grad_turn - grad_shift[..., None] * rest_joints[..., None, :]
        table = products_to_bends(vectors.dtype, vectors.device)
        grad_products = (grad_bends.flatten(-2) @ table.transpose(0, 1)).unflatten(-1, (4, 4))
        both = grad_products + grad_products.transpose(-1, -2)
        grad_quaternion = (both @ quaternions[..., None])[..., 0]
        return _vector_gradient(vectors, quaternions, grad_quaternion), grad_rest, None


def _chain_gradient(grad_motions: Tensor, levels: list[Tensor], parents: tuple[int, ...]) -> Tensor:
    """Return the gradient with respect to the local motions (B, J, 3, 4), propagated from the fingertips to the wrist.

    `levels` has the local motions of every level of the tree, then their motions from rest to pose.
    """
    listed, sizes, places, back = tree_levels(parents, grad_motions.device)
    locals_, worlds = levels[: len(sizes)], levels[len(sizes) :]
    grads = list(grad_motions.index_select(1, listed).split(sizes, 1))
    for depth in range(len(sizes) - 1, 0, -1):
        place, above, grad, own = places[depth - 1], worlds[depth - 1], grads[depth], locals_[depth]
        # moved = [A R | A t + a] with above = [A | a]: the gradient of A is grad @ [R | t]^T, that of a is grad's last.
        to_above = torch.cat((grad @ own.transpose(-1, -2), grad[..., 3:]), -1)
        if place is not None:
            to_above = torch.zeros_like(above).index_add_(1, place, to_above)
            above = above.index_select(1, place)
        elif above.shape[1] == 1:
            to_above = to_above.sum(1, keepdim=True)
        grads[depth - 1] = grads[depth - 1] + to_above
        grads[depth] = above[..., :3].transpose(-1, -2) @ grad
    return torch.cat(grads, 1).index_select(1, back)


def _vector_gradient(vectors: Tensor, quaternions: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient with respect to the rotation vector v, given that of q = (cos h, v sin h / h), h = |v| / 2.

    d(cos h) = -s/4 v.dv and d(s v) = s dv + k v (v.dv) with s = sin h / h and k = (cos h - s) / (4 h^2).
    """
    squares = 0.25 * (vectors * vectors).sum(-1, keepdim=True)
    cosine, sinc = quaternions[..., :1], torch.sinc(squares.sqrt() / torch.pi)
    curve = (cosine - sinc) / (4 * squares).clamp_min(1e-12)  # times v (v.g), so its limit at 0 does not matter
    along = (vectors * grad[..., 1:]).sum(-1, keepdim=True)
    return sinc * grad[..., 1:] + (curve * along - 0.25 * sinc * grad[..., :1]) * vectors
