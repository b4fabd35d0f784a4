"""Linear blend skinning as pure functions of tensors, for every hand model.

Planar tensors (B, 3, V) store each coordinate of all vertices together, so that arithmetic runs over long rows; the
public `linear_blend_skinning` takes and returns the usual (B, V, 3).
Source: Loper et al., "SMPL: a skinned multi-person linear model", 2015, equations 2 to 4.
"""

import itertools
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear_blend_skinning(
    rest_vertices: Float[Tensor, "B V 3"],
    rest_joints: Float[Tensor, "B J 3"],
    rotations: Float[Tensor, "B J 3 3"],
    weights: Float[Tensor, "V J"],
    parents: tuple[int, ...],
) -> tuple[Float[Tensor, "B V 3"], Float[Tensor, "B J 3"]]:
    """Pose a batch of meshes; return the posed vertices and the posed joints.

    ``rotations[b, j]`` rotates joint j relative to its parent, about ``rest_joints[b, j]``; ``parents[0]`` is -1, and
    parents come before their children. ``weights[v]`` sums to 1. Units and axes are those of the rest pose.
    Once differentiable in everything except `parents`.
    """
    motions = joint_motions(rotations, rest_joints, parents)
    posed = skin_planar(rest_vertices.transpose(1, 2), motions, weights.transpose(0, 1))
    return posed.transpose(1, 2), move_joints(motions, rest_joints)


def joint_motions(
    rotations: Float[Tensor, "B J 3 3"], rest_joints: Float[Tensor, "B J 3"], parents: tuple[int, ...]
) -> Float[Tensor, "B J 3 4"]:
    """Return the rigid motion [R | t] of everything fixed to each joint, from the rest pose to the posed one.

    The motion of a joint is that of its parent after a rotation about the joint's rest position; products are computed
    one tree level at a time.
    """
    device = rotations.device
    turned = (rotations @ rest_joints[..., None])[..., 0]
    local = torch.cat((rotations, (rest_joints - turned)[..., None]), -1)
    local = torch.cat((local, _last_row(local.dtype, device).expand(*local.shape[:2], 1, 4)), 2)
    listed, sizes, places, back = tree_levels(parents, device)
    levels = list(local.index_select(1, listed).split(sizes, 1))
    for depth, place in enumerate(places, start=1):
        above = levels[depth - 1]
        levels[depth] = (above if place is None else above.index_select(1, place)) @ levels[depth]
    return torch.cat(levels, 1).index_select(1, back)[:, :, :3]


def move_joints(motions: Float[Tensor, "B J 3 4"], rest_joints: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
    """Return the posed joints: joint j is at ``R_j @ rest_joints[j] + t_j`` for its motion [R_j | t_j]."""
    return (motions[..., :3] @ rest_joints[..., None])[..., 0] + motions[..., 3]


def skin_planar(
    rest_vertices: Float[Tensor, "B 3 V"], motions: Float[Tensor, "B J 3 4"], weights: Float[Tensor, "J V"]
) -> Float[Tensor, "B 3 V"]:
    """Blend the motions per vertex and apply them: ``out = sum_j weights[j] * (R_j @ rest + t_j)``."""
    return _Skin.apply(rest_vertices, motions, weights)


class _Skin(torch.autograd.Function):
    """The two products of skinning with an explicit gradient, which takes half the time of autograd's."""

    @staticmethod
    def forward(ctx: Any, rest: Tensor, motions: Tensor, weights: Tensor) -> Tensor:
        blended = _blend(motions, weights)
        ctx.save_for_backward(rest, motions, weights, blended)
        x, y, z = rest[:, None].unbind(2)
        posed = torch.addcmul(blended[:, :, 3], blended[:, :, 0], x)
        return posed.addcmul_(blended[:, :, 1], y).addcmul_(blended[:, :, 2], z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rest, motions, weights, blended = ctx.saved_tensors
        grad = grad.contiguous()  # its memory layout is (B, V, 3), but the products below run along V
        grad_rest = grad_motions = grad_weights = None
        if ctx.needs_input_grad[0]:
            one, two, three = grad[:, :, None].unbind(1)
            turns = blended[:, :, :3]
            grad_rest = (turns[:, 0] * one).addcmul_(turns[:, 1], two).addcmul_(turns[:, 2], three)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            outer = torch.empty_like(blended)
            torch.mul(grad[:, :, None], rest[:, None], out=outer[:, :, :3])
            outer[:, :, 3] = grad
            outer = outer.flatten(1, 2)
            if ctx.needs_input_grad[1]:
                grad_motions = (outer @ weights.transpose(0, 1)).transpose(1, 2).unflatten(2, (3, 4))
            if ctx.needs_input_grad[2]:
                grad_weights = (motions.flatten(2) @ outer).sum(0)
        return grad_rest, grad_motions, grad_weights


def _blend(motions: Tensor, weights: Tensor) -> Tensor:
    """Return (B, 3, C, V), the weighted sums of (B, J, 3, C) motions, as one product of two matrices."""
    batch, joints, _, columns = motions.shape
    rows = motions.permute(0, 2, 3, 1).reshape(-1, joints)
    return (rows @ weights).view(batch, 3, columns, -1)


def _depths(parents: tuple[int, ...]) -> list[int]:
    depths: list[int] = []
    for joint, parent in enumerate(parents):
        if (parent < 0) != (joint == 0) or parent >= joint:
            raise ValueError(
                f"parents {parents}: joint {joint} has parent {parent}, expected -1 for the first joint and parents "
                "before their children"
            )
        depths.append(0 if parent < 0 else depths[parent] + 1)
    return depths


@lru_cache(maxsize=64)
def constant_index(values: tuple[int, ...], device: torch.device) -> Int[Tensor, " N"]:
    """Return `values` as a tensor from a cache: the same values and device give the same tensor."""
    # Cached, so it must be usable in training even if the first call is in inference mode.
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=torch.int64, device=device)


@lru_cache(maxsize=16)
def _last_row(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):
        return torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=dtype, device=device)


@lru_cache(maxsize=64)
def tree_levels(
    parents: tuple[int, ...], device: torch.device
) -> tuple[Tensor, list[int], tuple[Tensor | None, ...], Tensor]:
    """Return the joints level by level, the sizes of the levels, the parents of each level, and the inverse order.

    Parents are given by their positions in the level above, or by None if that level can be used unchanged: it has a
    single joint, or exactly the parents in order, as in MANO.
    """
    depths = _depths(parents)
    levels = [[j for j, depth in enumerate(depths) if depth == level] for level in range(max(depths) + 1)]
    places = [
        [above.index(parents[joint]) for joint in level] if len(above) > 1 else []
        for above, level in itertools.pairwise(levels)
    ]
    beside = [not place or place == list(range(len(above))) for place, above in zip(places, levels, strict=False)]
    listed = [joint for level in levels for joint in level]
    back = [listed.index(joint) for joint in range(len(parents))]
    return (
        constant_index(tuple(listed), device),
        [len(level) for level in levels],
        tuple(
            None if plain else constant_index(tuple(place), device) for place, plain in zip(places, beside, strict=True)
        ),
        constant_index(tuple(back), device),
    )
