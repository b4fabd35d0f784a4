"""Linear blend skinning as pure functions of tensors, for every hand model.

Planar tensors (B, 3, V) keep one coordinate of all vertices together, so the arithmetic over V runs on long rows; the
public `linear_blend_skinning` takes and returns the usual (B, V, 3).
Source: Loper et al., "SMPL: a skinned multi-person linear model", 2015, equations 2 to 4.
"""

import itertools
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


def linear_blend_skinning(
    rest_vertices: Float[Tensor, "B V 3"],
    rest_joints: Float[Tensor, "B J 3"],
    rotations: Float[Tensor, "B J 3 3"],
    weights: Float[Tensor, "V J"],
    parents: tuple[int, ...],
) -> tuple[Float[Tensor, "B V 3"], Float[Tensor, "B J 3"]]:
    """Pose a batch of meshes; return the posed vertices and the posed joints.

    ``rotations[b, j]`` turns joint j against its parent, about ``rest_joints[b, j]``; ``parents[0]`` is -1 and every
    parent stands before its children. ``weights[v]`` sums to 1. Units and axes are those of the rest pose.
    Differentiable in everything but `parents`.
    """
    world, joints = forward_kinematics(rotations, rest_joints, parents)
    offsets = joints - (world @ rest_joints[..., None])[..., 0]
    posed = skin_planar(rest_vertices.transpose(1, 2), world, offsets, weights.transpose(0, 1))
    return posed.transpose(1, 2), joints


def forward_kinematics(
    rotations: Float[Tensor, "B J 3 3"], rest_joints: Float[Tensor, "B J 3"], parents: tuple[int, ...]
) -> tuple[Float[Tensor, "B J 3 3"], Float[Tensor, "B J 3"]]:
    """Chain local rotations from the root; return world rotations and joint positions. One step per tree level."""
    device = rotations.device
    bones = rest_joints - rest_joints.index_select(1, _parent_index(parents, device))
    world, joints = rotations[:, :1], rest_joints[:, :1]
    worlds, positions = [world], [joints]
    for children, places in _levels(parents, device):
        above = world.index_select(1, places)
        joints = joints.index_select(1, places) + (above @ bones.index_select(1, children)[..., None])[..., 0]
        world = above @ rotations.index_select(1, children)
        worlds.append(world)
        positions.append(joints)
    order = _order(parents, device)
    return torch.cat(worlds, 1).index_select(1, order), torch.cat(positions, 1).index_select(1, order)


def skin_planar(
    rest_vertices: Float[Tensor, "B 3 V"],
    world: Float[Tensor, "B J 3 3"],
    offsets: Float[Tensor, "B J 3"],
    weights: Float[Tensor, "J V"],
) -> Float[Tensor, "B 3 V"]:
    """Blend the rigid motions ``x -> world[j] @ x + offsets[j]`` per vertex and apply them."""
    batch, joints = world.shape[:2]
    motions = torch.cat((world, offsets[..., None]), -1).reshape(batch, joints, 12)
    blended = (motions.transpose(1, 2) @ weights).reshape(batch, 3, 4, -1)
    x, y, z = rest_vertices.unbind(1)
    return (
        blended[:, :, 0] * x[:, None] + blended[:, :, 1] * y[:, None] + blended[:, :, 2] * z[:, None] + blended[:, :, 3]
    )


def _depths(parents: tuple[int, ...]) -> list[int]:
    depths: list[int] = []
    for joint, parent in enumerate(parents):
        if (parent < 0) != (joint == 0) or parent >= joint:
            raise ValueError(
                f"parents {parents}: joint {joint} hangs from {parent}, expected -1 first and then parents before"
            )
        depths.append(0 if parent < 0 else depths[parent] + 1)
    return depths


def _index(values: list[int], device: torch.device) -> Tensor:
    # Cached below, so it must be usable in training even if the first call comes from inference mode.
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=torch.int64, device=device)


@lru_cache(maxsize=64)
def _parent_index(parents: tuple[int, ...], device: torch.device) -> Tensor:
    return _index([max(parent, 0) for parent in parents], device)


@lru_cache(maxsize=64)
def _levels(parents: tuple[int, ...], device: torch.device) -> tuple[tuple[Tensor, Tensor], ...]:
    """Per level below the root: the joints of the level, and where their parents stand within the level above."""
    depths = _depths(parents)
    by_depth = [[j for j, depth in enumerate(depths) if depth == level] for level in range(max(depths) + 1)]
    return tuple(
        (_index(level, device), _index([above.index(parents[j]) for j in level], device))
        for above, level in itertools.pairwise(by_depth)
    )


@lru_cache(maxsize=64)
def _order(parents: tuple[int, ...], device: torch.device) -> Tensor:
    """Where each joint stands when the joints are listed level by level."""
    depths = _depths(parents)
    listed = sorted(range(len(parents)), key=lambda joint: (depths[joint], joint))
    return _index([listed.index(joint) for joint in range(len(parents))], device)
