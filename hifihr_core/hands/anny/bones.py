"""The free hand's armature, made by `tools/bake_armature.py`: a flat bind pose, and skinning weights of 16 bones."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.outside.array_archives import read_arrays
from hifihr_core.skeleton import NUM_JOINTS


@dataclass(frozen=True)
class BoneWeights:
    """The pose in which the bones are bound to the skin (a flat hand, angles in radians), and the skinning weights.

    ``weights[v, j]`` is the weight at vertex v of the bone that starts at joint j. At most four weights of a row are
    not zero, and they sum to 1.
    """

    bind_pose: Float[Tensor, " P"]
    weights: Float[Tensor, "V 21"]


@lru_cache(maxsize=4)
def load_bone_weights(path: Path) -> BoneWeights:
    """Read the shipped armature. Raises: AssetError for a missing or broken file."""
    names = ("bind_pose", "bones", "weights")
    arrays = read_arrays(path, what="an armature file", remedy="reinstall hifihr", needed=names)
    pose, bones, values = (arrays[name] for name in names)
    weights = torch.zeros(len(bones), NUM_JOINTS)
    weights.scatter_add_(1, torch.from_numpy(bones.astype(np.int64)), torch.from_numpy(values.astype(np.float32)))
    return BoneWeights(torch.from_numpy(pose.astype(np.float32)), weights / weights.sum(dim=1, keepdim=True))


def save_bone_weights(path: Path, bind_pose: np.ndarray, weights: Float[np.ndarray, "V 21"]) -> None:
    """Write an armature for `load_bone_weights`, with only the four largest weights of every vertex."""
    bones = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    values = np.take_along_axis(weights, bones, axis=1)
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            bind_pose=bind_pose.astype(np.float32),
            bones=bones.astype(np.uint8),
            weights=(values / values.sum(axis=1, keepdims=True)).astype(np.float32),
        )
