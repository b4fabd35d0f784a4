"""The data of the NIMBLE hand that are needed to pose its skin, as plain arrays in metres."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hifihr_core.hands.archives import load_record, save_record
from hifihr_core.skeleton import FINGERS

NUM_JOINTS = 25
NUM_BONES = 20
NUM_SHAPE = 20
NUM_TEXTURE = 10
NUM_MANO_VERTICES = 778

#: Joint about which each bone rotates: the carpal, three of the thumb, four of each finger. Tips have no bone.
BONE_JOINTS = (0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 22, 23)
#: Parent of each bone.
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 6, 0, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18)
#: Bone to which each joint is fixed: its own, or the finger's last one for a tip.
JOINT_BONES = (0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 11, 12, 13, 14, 15, 15, 16, 17, 18, 19, 19)

#: Names and parents of the 25 joints; the metacarpals of the four fingers start at joints that our 21 lack.
JOINT_NAMES = (
    *("wrist", "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
    *(f"{finger}_{joint}" for finger in FINGERS[1:] for joint in ("cmc", "mcp", "pip", "dip", "tip")),
)
JOINT_PARENTS = (-1, *(0 if joint % 5 == 0 or joint == 1 else joint - 1 for joint in range(1, NUM_JOINTS)))

#: Version of the `.npz`; a file of another version is imported again.
FORMAT = 1


@dataclass(frozen=True)
class NimbleData:
    """NIMBLE's skin, metres: mean shape, shape basis (times standard deviations), blend shapes, weights, joints.

    `joints` are the 25 rest joints of the mean shape, `joints_basis` their shape basis. `weights` are the skinning
    weights of the 20 bones. ``pose_mean + (coefficients * pose_std + pose_offset) @ pose_basis`` are the rotation
    vectors of bones 1 to 19. Vertex r of the 778 MANO-like vertices is the sum of ``mano_values[n] *
    skin[mano_columns[n]]`` over all n with ``mano_rows[n] == r``. Texture maps are RGB, row 0 at the top;
    `texture_basis` is multiplied by the standard deviations.
    """

    template: Float[np.ndarray, "V 3"]
    shape_basis: Float[np.ndarray, "20 V 3"]
    pose_blend: Float[np.ndarray, "V 3 171"]
    weights: Float[np.ndarray, "V 20"]
    joints: Float[np.ndarray, "25 3"]
    joints_basis: Float[np.ndarray, "20 25 3"]
    pose_basis: Float[np.ndarray, "K 57"]
    pose_mean: Float[np.ndarray, " 57"]
    pose_std: Float[np.ndarray, " K"]
    pose_offset: Float[np.ndarray, " K"]
    mano_rows: Int[np.ndarray, " N"]
    mano_columns: Int[np.ndarray, " N"]
    mano_values: Float[np.ndarray, " N"]
    faces: Int[np.ndarray, "F 3"]
    uvs: Float[np.ndarray, "U 2"]
    faces_uvs: Int[np.ndarray, "F 3"]
    texture_mean: Float[np.ndarray, "3 T T"]
    texture_basis: Float[np.ndarray, "10 3 T T"]


#: Large, because the maps of the texture basis alone take hundreds of megabytes.
_MOST_BYTES = 4 << 30


def save_nimble(data: NimbleData, target: Path) -> None:
    """Write `data` as a plain, uncompressed `.npz`: the noise in the texture basis would not compress."""
    save_record(data, target, kind="nimble", format_number=FORMAT, compress=False)


def load_nimble_data(path: Path) -> NimbleData:
    """Read a file that `save_nimble` wrote. Raises: AssetError if it is missing, damaged or of another format."""
    remedy = "run `hifihr assets import nimble FOLDER` again"
    return load_record(NimbleData, path, kind="nimble", format_number=FORMAT, remedy=remedy, most_bytes=_MOST_BYTES)
