"""Derive our 18 joints, their axes and the limits of their angles from the bones of the source."""

from dataclasses import dataclass

import numpy as np

from hifihr_core.hands.anny.rig import ANGLES, JOINTS, PARENTS

#: Our 18 joints among the source's bones (`source.BONES`).
_FROM_BONES = (0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
#: The metacarpal base in the source for the MCP of every long finger.
_BASES = {"index": 4, "middle": 8, "ring": 12, "pinky": 16}

#: The source hinges the long fingers near the web. Published proportions of the phalanges (Buryanov and Kotiuk, 2010)
#: put the knuckles deeper; we go about halfway: this fraction of the metacarpal.
_KNUCKLE_BACK = {"index": 0.105, "middle": 0.07, "ring": 0.08, "pinky": 0.10}
#: Depth of a joint in the finger, from back (0) to pad (1); the source's joints are right under the back.
_DEPTH = {"mcp": 0.36, "pip": 0.42, "dip": 0.43, "ip": 0.45}
#: Shift of the thumb's saddle joint from its position in the source (metres, hand frame): radial, proximal, palmar.
_SADDLE_SHIFT = np.array([0.003, 0.007, -0.004])

#: Lowest and highest anatomical angle, degrees, 0 = straight; roughly the range of healthy adults, with some laxity.
_RANGE = {
    "thumb_cmc_flexion": (-30, 35),
    "thumb_cmc_abduction": (-25, 40),
    "thumb_cmc_opposition": (-15, 50),
    "thumb_mcp_flexion": (-25, 65),
    "thumb_mcp_abduction": (-15, 15),
    "thumb_ip_flexion": (-35, 85),
    "mcp_flexion": (-35, 95),
    "mcp_abduction": (-25, 25),
    "pip_flexion": (-10, 112),
    "dip_flexion": (-15, 85),
    "ring_cmc_flexion": (-5, 12),
    "pinky_cmc_flexion": (-5, 22),
}


@dataclass(frozen=True)
class Rig:
    """Rest joints in the hand frame (metres, wrist at the origin), unit axes and limits (radians) of the 24 angles."""

    joints: np.ndarray  # (18, 3)
    axes: np.ndarray  # (24, 3)
    limits: np.ndarray  # (24, 2), relative to the rest pose
    rest_angles: np.ndarray  # (24,) anatomical angle of the rest pose: anatomical = pose + rest
    backs: np.ndarray  # (5, 3) unit normals of the nails


def hand_frame(heads: np.ndarray) -> np.ndarray:
    """Return the rotation into the hand frame: a right hand held up with the palm to the camera.

    -y runs from wrist to middle knuckle, +x to the thumb's side, -z out of the palm.
    """
    forward = heads[9] - heads[0]
    forward = forward / np.linalg.norm(forward)
    side = heads[5] - heads[17]
    side = side - forward * (side @ forward)
    side = side / np.linalg.norm(side)
    return np.stack((side, -forward, np.cross(side, -forward)))


def place_joints(vertices: np.ndarray, heads: np.ndarray, faces: np.ndarray, backs: np.ndarray) -> np.ndarray:
    """Return our 18 joints for the mean hand, in the hand frame."""
    joints = heads[list(_FROM_BONES)].copy()
    joints[JOINTS.index("thumb_cmc")] += _SADDLE_SHIFT
    for finger, base in _BASES.items():
        j = JOINTS.index(f"{finger}_mcp")
        joints[j] += _KNUCKLE_BACK[finger] * (heads[base] - joints[j])
    for j, name in enumerate(JOINTS):
        finger, _, kind = name.partition("_")
        if kind in _DEPTH:
            joints[j] = _centred(vertices, faces, joints[j], backs[_finger(finger)], _DEPTH[kind])
    return joints


def nail_backs(vertices: np.ndarray, heads: np.ndarray, faces: np.ndarray, nails: np.ndarray) -> np.ndarray:
    """Return the unit normal of each finger's nail: the direction of the back of the finger."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    ends = heads[[3, 7, 11, 15, 19]]
    nearest = np.linalg.norm(corners.mean(1)[:, None] - ends, axis=-1).argmin(1)
    backs = np.stack([normals[(nails > 0.5) & (nearest == k)].sum(0) for k in range(5)])
    return backs / np.linalg.norm(backs, axis=1, keepdims=True)


def build_rig(joints: np.ndarray, tips: np.ndarray, backs: np.ndarray) -> Rig:
    """Derive axes from the bones and nails: a finger bends in the plane of its bones and the normal of its nail."""
    axes = np.zeros((len(ANGLES), 3))
    limits = np.zeros((len(ANGLES), 2))
    rest = np.zeros(len(ANGLES))
    for p, name in enumerate(ANGLES):
        joint, _, kind = name.rpartition("_")
        finger = joint.partition("_")[0]
        axes[p] = _axis(joint, kind, joints, tips, backs[_finger(finger)])
        limits[p] = np.radians(_RANGE.get(name) or _RANGE[name.partition("_")[2]])
        if kind == "flexion" and not joint.endswith("cmc"):
            rest[p] = _rest_flexion(joint, axes[p], joints, tips)
    return Rig(joints, axes, limits - rest[:, None], rest, backs)


def _axis(joint: str, kind: str, joints: np.ndarray, tips: np.ndarray, back: np.ndarray) -> np.ndarray:
    if joint.endswith("cmc") and not joint.startswith("thumb"):
        # The metacarpals of ring and pinky flex about the line towards the base of the thumb's side.
        return _unit(np.array([1.0, -0.25, 0.0]))
    along = _bone(joint, joints, tips)
    finger = joint.partition("_")[0]
    curl = _unit(np.cross(back, _bone(f"{finger}_{'ip' if finger == 'thumb' else 'pip'}", joints, tips)))
    flexion = _unit(curl - along * (curl @ along))
    if kind == "flexion":
        return flexion
    if kind == "opposition":
        return along
    out = np.cross(along, flexion)  # out of the back of the bone
    return _unit(out)


def _bone(joint: str, joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Return the unit direction from a joint to the next one in its finger, or to the tip."""
    j = JOINTS.index(joint)
    after = tips[_finger(joint.partition("_")[0])] if j not in PARENTS else joints[PARENTS.index(j)]
    return _unit(after - joints[j])


def _rest_flexion(joint: str, axis: np.ndarray, joints: np.ndarray, tips: np.ndarray) -> float:
    """Return the flexion of a joint in the rest pose, radians."""
    above = JOINTS[PARENTS[JOINTS.index(joint)]]
    before = (
        np.array([0.0, -1.0, 0.0]) if joint.endswith("mcp") and "thumb" not in joint else _bone(above, joints, tips)
    )
    after = _bone(joint, joints, tips)
    before = _unit(before - axis * (before @ axis))
    return float(np.arctan2(np.cross(before, after) @ axis, before @ after))


def _centred(vertices: np.ndarray, faces: np.ndarray, point: np.ndarray, back: np.ndarray, depth: float) -> np.ndarray:
    """Move a point along `back` to the fraction `depth` between the back and the pad."""
    above, below = _distance(vertices, faces, point, back), _distance(vertices, faces, point, -back)
    below = min(below, 3.2 * above)  # a knuckle is above the palm: count only a finger's thickness
    return point + back * (above - depth * (above + below))


def _distance(vertices: np.ndarray, faces: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> float:
    """Return the distance along a ray to the skin (Moeller and Trumbore, 1997)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    h = np.cross(direction, c - a)
    det = np.einsum("fx,fx->f", b - a, h)
    det = np.where(np.abs(det) < 1e-18, np.inf, det)
    u = np.einsum("fx,fx->f", origin - a, h) / det
    q = np.cross(origin - a, b - a)
    v = q @ direction / det
    t = np.einsum("fx,fx->f", c - a, q) / det
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    return float(t[hit].min())


def _finger(name: str) -> int:
    return ("thumb", "index", "middle", "ring", "pinky").index(name)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
