"""The data of one MANO hand as plain arrays: checked, mirrored, and stored in a plain `.npz`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hifihr_core.hands.archives import load_record, save_record
from hifihr_core.hands.harmonics import mesh_harmonics
from hifihr_core.records import Side

NUM_VERTICES = 778
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
NUM_HARMONICS = 16

#: Version of the `.npz`; files of other versions must be imported again.
FORMAT = 1

_MIRROR = np.array([-1.0, 1.0, 1.0])
#: Rotation vectors are mirrored with the opposite signs.
_MIRROR_AXIS = np.array([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class ManoData:
    """One MANO hand, metres, in the axes of the file: `template` plus blend shapes, skinned along `PARENTS`.

    `components` are MANO's scaled principal components of the hand pose (rows; a coefficient of 1 is one standard
    deviation from `hands_mean`). `pose_limits` are the extremes (lowest, highest) of the rotation vectors of MANO's
    registered poses, `component_limits` those of their coefficients. `harmonics` are eigenfunctions of the template
    surface, `frequencies` their eigenvalues. `md5` is the checksum of the original pickle.
    """

    template: Float[np.ndarray, "778 3"]
    faces: Int[np.ndarray, "F 3"]
    shape_basis: Float[np.ndarray, "778 3 10"]
    pose_basis: Float[np.ndarray, "778 3 135"]
    joint_regressor: Float[np.ndarray, "16 778"]
    weights: Float[np.ndarray, "778 16"]
    hands_mean: Float[np.ndarray, " 45"]
    components: Float[np.ndarray, "45 45"]
    pose_limits: Float[np.ndarray, "45 2"]
    component_limits: Float[np.ndarray, "45 2"]
    harmonics: Float[np.ndarray, "778 16"]
    frequencies: Float[np.ndarray, " 16"]
    side: Side
    md5: str


def with_statistics(coefficients: Float[np.ndarray, "N 45"], **arrays: Any) -> ManoData:
    """Return the data from a file's arrays, with the limits of its registered poses (`coefficients`) and harmonics."""
    poses = coefficients @ arrays["components"] + arrays["hands_mean"]
    functions, eigenvalues = mesh_harmonics(arrays["template"], arrays["faces"], NUM_HARMONICS)
    return ManoData(
        pose_limits=np.stack((poses.min(0), poses.max(0)), 1),
        component_limits=np.stack((coefficients.min(0), coefficients.max(0)), 1),
        harmonics=functions,
        frequencies=eigenvalues,
        **arrays,
    )


def mirror_mano(data: ManoData) -> ManoData:
    """Return the hand of the other side, mirrored in the plane x = 0.

    Mirrored rotation vectors (x, -y, -z) and the same shape give exactly the mirrored mesh; faces are re-wound.
    """
    turned = np.tile(_MIRROR_AXIS, 15)
    # A feature is entry (r, c) of R - I; mirroring multiplies it by the signs of r and c.
    features = np.tile(np.outer(_MIRROR, _MIRROR).ravel(), 15)
    limits = data.pose_limits * turned[:, None]
    return replace(
        data,
        template=data.template * _MIRROR,
        faces=np.ascontiguousarray(data.faces[:, ::-1]),
        shape_basis=data.shape_basis * _MIRROR[:, None],
        pose_basis=data.pose_basis * _MIRROR[:, None] * features,
        hands_mean=data.hands_mean * turned,
        components=data.components * turned,
        pose_limits=np.sort(limits, axis=1),
        side="left" if data.side == "right" else "right",
    )


def save_mano(data: ManoData, target: Path) -> None:
    """Write `data` as a plain `.npz`."""
    save_record(data, target, kind="mano", format_number=FORMAT)


def load_mano_data(path: Path) -> ManoData:
    """Read a file that `save_mano` wrote. Raises: AssetError if it is missing, damaged or of another format."""
    remedy = "run `hifihr assets import mano-right MANO_RIGHT.pkl` again"
    return load_record(ManoData, path, kind="mano", format_number=FORMAT, remedy=remedy)
