"""The 21 joints of many poses in one compiled loop, for fits that pose a hand hundreds of times.

A joint is a weighted mean of skinned vertices, and skinning is linear in the vertices, so the vertices of each joint
can be summed per bone beforehand: about a hundred such sums, the moments, replace hundreds of vertices. The plain torch
code in `AnnyHand.joints_of` is the specification.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hifihr_core.hands.anny.rig import BONE_PARENTS, HALVED, JOINTS, SLOTS
from hifihr_core.machine.kernels import helper, kernel

#: Smaller weights of a bone on a joint are left out: at most 1e-7 of a hand's size in all.
_NOTHING = 1e-9


@dataclass(frozen=True)
class JointMoments:
    """Weighted sums of vertices (moments), from which the posed joints are computed.

    Concretely, moment m of a hand with shape coefficients s is ``rest[m] + s @ basis[:, m]``: a sum of vertices, whose
    weights add up to ``share[m]``. Bone ``bone[m]`` moves it, and it is added to joint ``joint[m]``. The 18 joints of
    the skeleton are at ``heads + s @ heads_basis`` in the rest pose; pose angle p rotates about ``axes[p]``.
    """

    rest: Float[np.ndarray, "M 3"]
    basis: Float[np.ndarray, "S M 3"]
    share: Float[np.ndarray, " M"]
    bone: Int[np.ndarray, " M"]
    joint: Int[np.ndarray, " M"]
    heads: Float[np.ndarray, "18 3"]
    heads_basis: Float[np.ndarray, "S 18 3"]
    axes: Float[np.ndarray, "P 3"]


def joint_moments(
    rest: Float[np.ndarray, "3 N"],
    basis: Float[np.ndarray, "S 3 N"],
    weights: Float[np.ndarray, "33 V"],
    mixes: Float[np.ndarray, "21 V"],
    axes: Float[np.ndarray, "P 3"],
) -> JointMoments:
    """Return the moments of 21 joints that are weighted means (`mixes`) of V skinned vertices.

    `rest` and its shape basis `basis` contain the V vertices, followed by the 18 joints of the skeleton; `weights` are
    the skinning weights of the 33 bones.
    """
    count = weights.shape[1]
    both = mixes[:, None] * weights  # (21, 33, V)
    joint, bone = np.nonzero(np.abs(both).sum(axis=2) > _NOTHING)
    pairs = both[joint, bone].astype(np.float64)
    return JointMoments(
        rest=pairs @ rest[:, :count].T,
        basis=np.ascontiguousarray(pairs @ basis[:, :, :count].transpose(0, 2, 1)),
        share=pairs.sum(axis=1),
        bone=bone,
        joint=joint,
        heads=np.ascontiguousarray(rest[:, count:].T, dtype=np.float64),
        heads_basis=np.ascontiguousarray(basis[:, :, count:].transpose(0, 2, 1), dtype=np.float64),
        axes=axes.astype(np.float64),
    )


def quick_joints(
    pose: Float[np.ndarray, "B P"], shape: Float[np.ndarray, "B S"], moments: JointMoments
) -> Float[np.ndarray, "B 21 3"]:
    """Return the posed joints before the global rotation, in the frame of the rest pose, metres."""
    out = np.zeros((len(pose), 21, 3), np.float32)
    points = moments.rest + np.tensordot(shape, moments.basis, axes=1)
    heads = moments.heads + np.tensordot(shape, moments.heads_basis, axes=1)
    _pose_joints(
        pose, points, heads, moments.share, moments.bone, moments.joint, moments.axes, _SLOTS, _PARENTS, _HALVED, out
    )
    return out


_SLOTS, _PARENTS, _HALVED = (np.array(table) for table in (SLOTS, BONE_PARENTS[: len(JOINTS)], HALVED))


@helper
def _about(axis: np.ndarray, angle: float, out: np.ndarray) -> None:
    """Fill `out` (3, 3) with the rotation by `angle` radians about the unit vector `axis`."""
    x, y, z = axis
    sine, less = np.sin(angle), 1 - np.cos(angle)
    out[0, 0], out[0, 1], out[0, 2] = 1 - less * (y * y + z * z), less * x * y - sine * z, less * x * z + sine * y
    out[1, 0], out[1, 1], out[1, 2] = less * x * y + sine * z, 1 - less * (x * x + z * z), less * y * z - sine * x
    out[2, 0], out[2, 1], out[2, 2] = less * x * z - sine * y, less * y * z + sine * x, 1 - less * (x * x + y * y)


@helper
def _fill_turns(pose: np.ndarray, axes: np.ndarray, slots: np.ndarray, turns: np.ndarray) -> None:
    """Fill `turns` (18, 3, 3) with the rotation of each joint.

    `slots` is sorted, so the rotations about the axes of a joint are multiplied in the order of `rig.SLOTS`.
    """
    single, product = np.empty((3, 3)), np.empty((3, 3))
    turns[:] = 0.0
    for i in range(3):
        turns[:, i, i] = 1.0
    for p in range(len(slots)):
        turn = turns[slots[p] // 3]
        _about(axes[p], pose[p], single)
        for i in range(3):
            for k in range(3):
                product[i, k] = turn[i, 0] * single[0, k] + turn[i, 1] * single[1, k] + turn[i, 2] * single[2, k]
        turn[:] = product


@helper
def _fill_motion(turn: np.ndarray, head: np.ndarray, above: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (3, 4) with the motion of a bone.

    It rotates by R = `turn` about `head`, x -> R (x - head) + head, and then moves like its parent, by `above`.
    """
    shift = np.empty(3)
    for i in range(3):
        shift[i] = head[i] - turn[i, 0] * head[0] - turn[i, 1] * head[1] - turn[i, 2] * head[2]
    for i in range(3):
        row = above[i]
        for k in range(3):
            out[i, k] = row[0] * turn[0, k] + row[1] * turn[1, k] + row[2] * turn[2, k]
        out[i, 3] = row[0] * shift[0] + row[1] * shift[1] + row[2] * shift[2] + row[3]


@kernel
def _pose_joints(
    pose: np.ndarray,
    points: np.ndarray,
    heads: np.ndarray,
    share: np.ndarray,
    bone: np.ndarray,
    joint: np.ndarray,
    axes: np.ndarray,
    slots: np.ndarray,
    parents: np.ndarray,
    halved: np.ndarray,
    out: np.ndarray,
) -> None:
    """Pose each hand: add its moments, moved by their bones, to its joints in `out` (B, 21, 3)."""
    num_joints = len(parents)
    turns, half_turns = np.empty((num_joints, 3, 3)), np.empty((num_joints, 3, 3))
    motions, still = np.empty((num_joints + len(halved), 3, 4)), np.eye(3, 4)
    for b in range(len(pose)):
        angles = pose[b].astype(np.float64)
        _fill_turns(angles, axes, slots, turns)
        _fill_turns(angles / 2, axes, slots, half_turns)
        for j in range(num_joints):
            _fill_motion(turns[j], heads[b, j], motions[parents[j]] if parents[j] >= 0 else still, motions[j])
        for n in range(len(halved)):
            j = halved[n]
            _fill_motion(half_turns[j], heads[b, j], motions[parents[j]], motions[num_joints + n])
        for m in range(len(bone)):
            moved, at = motions[bone[m]], points[b, m]
            for i in range(3):
                along = moved[i, 0] * at[0] + moved[i, 1] * at[1] + moved[i, 2] * at[2]
                out[b, joint[m], i] += along + moved[i, 3] * share[m]
