"""Moving the fingers of a rig by hand: one number per finger."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from scipy.spatial.transform import Rotation

from hifihr_core.exports.clips import local_transforms
from hifihr_core.exports.meshes import Rig

#: How much of a finger's curl each of its joints takes.
SHARES = MappingProxyType({"cmc": 0.25, "mcp": 0.9, "pip": 1.1, "dip": 0.8, "ip": 0.9})


def curl_fingers(rig: Rig, degrees: Mapping[str, float]) -> Rig:
    """Return the rig with fingers (thumb, index, ...) curled by so many degrees more, each bone about its own x.

    Negative numbers open the finger. The joints' limits are not kept.
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
