"""Write BVH: one hand's armature and motion, for animation programs.

At rest the hand is flat, fingers along +y, palm towards +z; rotations are relative to this pose, in degrees. The root
has a position in the frame of the GLB files (+y up, the photo's camera at the origin), metres. Below the root BVH has
only rotations, so shifts of the ring and little knuckles by a few millimetres are lost.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hifihr_core.exports.bone_names import bone_names
from hifihr_core.exports.clips import Clip
from hifihr_core.exports.gltf import T_GLTF_CAM
from hifihr_core.exports.textured_meshes import Rig
from hifihr_core.files import write_text
from hifihr_core.records import Side

_CHANNELS = "Zrotation Xrotation Yrotation"
_ORDER = "ZXY"
_FRAME_S = 1 / 30


def write_bvh(path: Path, rig: Rig, clip: Clip | None = None, *, side: Side = "right", bones: str = "vrm") -> None:
    """Write the rig of a hand, animated by `clip`; without a clip, a single frame in the rig's pose.

    `bones` is a style of `bone_names`. Raises: ValueError if the frames of `clip` are not equally spaced; ConfigError
    for an unknown style; DataError if the file cannot be written.
    """
    frames = rig.T_cam_bone[None] if clip is None else clip.T_cam_bone
    moving = [bone for bone in range(len(rig.parents)) if bone in rig.parents]
    names = bone_names(rig.names, side, bones)
    lines = ["HIERARCHY", *_hierarchy(rig, names, 0, 0), "MOTION"]
    lines += [f"Frames: {len(frames)}", f"Frame Time: {_frame_time(clip):.8f}"]
    motion = _motion(frames, rig, moving)
    write_text(path, "\n".join([*lines, *(" ".join(f"{value:.6f}" for value in row) for row in motion)]) + "\n")


def _frame_time(clip: Clip | None) -> float:
    if clip is None or len(clip.times_s) < 2:
        return _FRAME_S
    steps = np.diff(clip.times_s)
    if np.ptp(steps) > 1e-3 * steps.mean():
        raise ValueError(
            f"clip {clip.name!r}: frames are {steps.min()} to {steps.max()} s apart, expected a constant frame rate"
        )
    return float(steps.mean())


def _hierarchy(rig: Rig, names: tuple[str, ...], bone: int, depth: int) -> Iterator[str]:
    """Yield the lines of a bone and its descendants, depth first, which is also the order of the channels."""
    tab = "\t" * depth
    parent = rig.parents[bone]
    offset = np.zeros(3) if parent < 0 else rig.T_bind_bone[bone, :3, 3] - rig.T_bind_bone[parent, :3, 3]
    children = [child for child, of in enumerate(rig.parents) if of == bone]
    yield f"{tab}{'ROOT ' + names[bone] if parent < 0 else 'JOINT ' + names[bone] if children else 'End Site'}"
    yield f"{tab}{{"
    yield f"{tab}\tOFFSET {' '.join(f'{value:.6f}' for value in offset)}"
    if children:
        place = "6 Xposition Yposition Zposition " if parent < 0 else "3 "
        yield f"{tab}\tCHANNELS {place}{_CHANNELS}"
    for child in children:
        yield from _hierarchy(rig, names, child, depth + 1)
    yield f"{tab}}}"


def _motion(frames: Float[np.ndarray, "T N 4 4"], rig: Rig, moving: list[int]) -> Float[np.ndarray, "T C"]:
    """Return the root position and the angles of every moving bone, degrees, one row per frame."""
    turned = (T_GLTF_CAM @ frames)[..., :3, :3] @ rig.T_bind_bone[:, :3, :3].transpose(0, 2, 1)
    columns = [(T_GLTF_CAM @ frames[:, 0])[:, :3, 3]]
    for bone in moving:
        parent = rig.parents[bone]
        local = turned[:, bone] if parent < 0 else turned[:, parent].transpose(0, 2, 1) @ turned[:, bone]
        # gimbal lock at a quarter turn: only the sum of two angles matters, so any split is right
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            angles = Rotation.from_matrix(local).as_euler(_ORDER)
        columns.append(np.degrees(np.unwrap(angles, axis=0)))
    return np.concatenate(columns, axis=1)
