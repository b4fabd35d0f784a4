"""Poses of an armature: animate them, curl fingers, and compute the local transforms of animation formats."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hifihr_core.exports.textured_meshes import Rig

#: Key times of a photo's clip, seconds: the photo's pose, the same (held), the flat hand, the photo's pose.
_SHOW_TIMES_S = (0.0, 0.5, 1.25, 2.0)

#: The fraction of a finger's curl at each of its joints.
SHARES = MappingProxyType({"cmc": 0.25, "mcp": 0.9, "pip": 1.1, "dip": 0.8, "ip": 0.9})


@dataclass(frozen=True)
class Clip:
    """An animation of one rig.

    Concretely, ``T_cam_bone[t, n]`` maps the frame of bone n to the camera frame of `Rig.T_cam_bone` at ``times_s[t]``;
    `times_s` are in ascending order. Left hands are not mirrored to right ones.
    """

    name: str
    times_s: Float[np.ndarray, " T"]
    T_cam_bone: Float[np.ndarray, "T N 4 4"]


def flat_to_photo(rig: Rig) -> Clip:
    """Return an animation for a single photo: from its pose to the flat hand and back, with the wrist fixed.

    The photo's pose is held for half a second, so programs that display the first frame display the photo's pose.
    """
    flat = rig.T_cam_bone[0] @ rig.T_bind_bone
    frames = np.stack((rig.T_cam_bone, rig.T_cam_bone, flat, rig.T_cam_bone))
    return Clip("flat_to_photo", np.array(_SHOW_TIMES_S), frames)


def curl_fingers(rig: Rig, degrees: Mapping[str, float]) -> Rig:
    """Return the rig with fingers (thumb, index, ...) curled further by the given degrees.

    Each bone turns about its own x axis. A joint turns by its fraction (`SHARES`) of the degrees. Negative numbers open
    the finger. Joint limits are not enforced.
    """
    local = local_transforms(rig.T_cam_bone, rig.parents)
    for bone, name in enumerate(rig.names):
        finger, _, joint = name.partition("_")
        angle = degrees.get(finger, 0.0) * SHARES.get(joint, 0.0)
        local[bone, :3, :3] = local[bone, :3, :3] @ Rotation.from_euler("x", angle, degrees=True).as_matrix()
    world = local.copy()
    for bone, parent in enumerate(rig.parents):
        if parent >= 0:
            world[bone] = world[parent] @ local[bone]
    return replace(rig, T_cam_bone=np.asarray(world))


def local_transforms(
    T_any_bone: Float[np.ndarray, "*batch N 4 4"], parents: tuple[int, ...]
) -> Float[np.ndarray, "*batch N 4 4"]:
    """Return every bone in the frame of its parent; a bone without a parent is unchanged."""
    above = [max(parent, 0) for parent in parents]
    local = np.linalg.inv(T_any_bone[..., above, :, :]) @ T_any_bone
    roots = [bone for bone, parent in enumerate(parents) if parent < 0]
    local[..., roots, :, :] = T_any_bone[..., roots, :, :]
    return local


def quaternions(turns: Float[np.ndarray, "T *N 3 3"]) -> Float[np.ndarray, "T *N 4"]:
    """Return unit quaternions (x, y, z, w) of rotations over time; signs are chosen so that neighbours are close."""
    found = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_quat().reshape(*turns.shape[:-2], 4)
    flips = np.sum(found[1:] * found[:-1], axis=-1) < 0
    signs = np.cumprod(np.concatenate((np.ones_like(found[:1, ..., 0]), np.where(flips, -1.0, 1.0))), axis=0)
    return found * signs[..., None]
