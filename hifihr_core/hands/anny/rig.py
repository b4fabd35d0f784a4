"""The skeleton of the free hand: 18 joints, 24 anatomical angles, and 15 half-way bones that preserve volume at bent
joints.

A half-way bone is at a joint and rotates by half of the joint's angles. The skin around the joint follows it instead of
a blend of the two bones that meet there, which would make a bent finger too thin.
"""

from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.hands.skinning import constant_index, joint_motions
from hifihr_core.skeleton import FINGERS

#: The 18 joints. The index and middle metacarpals are part of the palm; those of ring and pinky bend slightly.
JOINTS = (
    "palm",
    *("thumb_cmc", "thumb_mcp", "thumb_ip"),
    *("index_mcp", "index_pip", "index_dip"),
    *("middle_mcp", "middle_pip", "middle_dip"),
    *("ring_cmc", "ring_mcp", "ring_pip", "ring_dip"),
    *("pinky_cmc", "pinky_mcp", "pinky_pip", "pinky_dip"),
)

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 12, 0, 14, 15, 16)

#: The joints with half-way bones, which follow the 18 joints in this order.
HALVED = tuple(j for j, name in enumerate(JOINTS) if name not in ("palm", "ring_cmc", "pinky_cmc"))

#: Parents of all 33 bones: the 18, then the half-way ones.
BONE_PARENTS = PARENTS + tuple(PARENTS[j] for j in HALVED)

#: Index of our joints 0 to 20 among the 18; -1 for tips.
CHAIN = (0, *(1, 2, 3, -1), *(4, 5, 6, -1), *(7, 8, 9, -1), *(11, 12, 13, -1), *(15, 16, 17, -1))

_FINGER_ANGLES = ("mcp_flexion", "mcp_abduction", "pip_flexion", "dip_flexion")

#: The names of the 24 pose coefficients, radians. Flexion curls towards the palm, abduction moves towards the thumb's
#: side (for the thumb: away from the palm), opposition turns the pad of the thumb towards the fingers.
ANGLES = (
    *("thumb_cmc_flexion", "thumb_cmc_abduction", "thumb_cmc_opposition"),
    *("thumb_mcp_flexion", "thumb_mcp_abduction", "thumb_ip_flexion"),
    *(f"{finger}_{angle}" for finger in FINGERS[1:3] for angle in _FINGER_ANGLES),
    *(f"{finger}_{angle}" for finger in FINGERS[3:] for angle in ("cmc_flexion", *_FINGER_ANGLES)),
)

#: The flexion angle of each of our 21 joints; tips have that of their last joint, the wrist the middle knuckle's.
FLEXION_ANGLES = (
    ANGLES.index("middle_mcp_flexion"),
    *(ANGLES.index(f"thumb_{joint}_flexion") for joint in ("cmc", "mcp", "ip", "ip")),
    *(ANGLES.index(f"{finger}_{joint}_flexion") for finger in FINGERS[1:] for joint in ("mcp", "pip", "dip", "dip")),
)

#: A joint's rotation is flexion @ abduction @ opposition, so a flexed finger still spreads about its own dorsal axis.
_PLACE = MappingProxyType({"flexion": 0, "abduction": 1, "opposition": 2})

#: Index of every angle in the 18 x 3 table of single-axis rotations.
SLOTS = tuple(3 * JOINTS.index(name.rpartition("_")[0]) + _PLACE[name.rpartition("_")[2]] for name in ANGLES)


def bone_rotations(pose: Float[Tensor, "B P"], generators: Float[Tensor, "P 9"]) -> Float[Tensor, "B 33 3 3"]:
    """Return the local rotation of all 33 bones for a pose in radians; the palm does not rotate.

    ``generators[p]`` is the cross-product matrix K of the axis of angle p. Rodrigues' formula gives its rotation by an
    angle a: R = I + sin(a) K + (1 - cos(a)) K K.
    """
    batch = pose.shape[0]
    skew = generators.reshape(-1, 3, 3)
    square = (skew @ skew).reshape(-1, 9)
    angles = torch.stack((pose, pose / 2), dim=1)
    single = angles.sin()[..., None] * generators + (1 - angles.cos())[..., None] * square
    table = pose.new_zeros(batch, 2, 3 * len(JOINTS), 9)
    table = table.index_copy(2, constant_index(SLOTS, pose.device), single)
    eye = torch.eye(3, dtype=pose.dtype, device=pose.device)
    turns = (table.reshape(batch, 2, len(JOINTS), 3, 3, 3) + eye).unbind(3)
    joint = turns[0] @ turns[1] @ turns[2]
    return torch.cat((joint[:, 0], joint[:, 1].index_select(1, constant_index(HALVED, pose.device))), dim=1)


def bone_joints(rest_joints: Float[Tensor, "B 18 3"]) -> Float[Tensor, "B 33 3"]:
    """Return the joints at which the 33 bones start; a half-way bone starts at the joint that it bends with."""
    return torch.cat((rest_joints, rest_joints.index_select(1, constant_index(HALVED, rest_joints.device))), dim=1)


def bone_motions(
    pose: Float[Tensor, "B P"], rest_joints: Float[Tensor, "B 18 3"], generators: Float[Tensor, "P 9"]
) -> Float[Tensor, "B 33 3 4"]:
    """Return the rigid motion [R | t] of every bone from the rest pose to `pose`."""
    return joint_motions(bone_rotations(pose, generators), bone_joints(rest_joints), BONE_PARENTS)


def cross_matrices(axes: Float[Tensor, "P 3"]) -> Float[Tensor, "P 9"]:
    """Return the flattened cross-product matrix K of every axis: K times v is the cross product of axis and v."""
    x, y, z = axes.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1)
