"""Anatomical fields over the texels: palm or back, bones, distances from joints, positions on nails."""

from dataclasses import dataclass

import numpy as np
from skin.chart import Chart

from hifihr_core.hands.anny.rig import HALVED, JOINTS, PARENTS
from hifihr_core.skeleton import FINGERS

_ENDS = ("thumb_ip", "index_dip", "middle_dip", "ring_dip", "pinky_dip")


@dataclass(frozen=True)
class Nail:
    """Coordinates on one nail: `across` and `along` run from -1 to 1 over the plate, `along` towards the tip."""

    across: np.ndarray  # (N,)
    along: np.ndarray  # (N,)
    facing: np.ndarray  # (N,) cosine between the skin's normal and the nail's
    length_mm: float


@dataclass(frozen=True)
class Anatomy:
    """Fields over the N texels; lengths in millimetres, hand frame of the baked hand (see docs/hands_anny.md)."""

    position: np.ndarray  # (N, 3)
    palm: np.ndarray  # (N,) 1 on the palmar side, 0 on the back
    bones: np.ndarray  # (N, 18) weight of every bone
    joints: np.ndarray  # (18, 3)
    tips: np.ndarray  # (5, 3)
    nails: tuple[Nail, ...]

    def joint(self, name: str) -> np.ndarray:
        """Return a joint's position."""
        return self.joints[JOINTS.index(name)]

    def along(self, name: str) -> np.ndarray:
        """Return (N,) the distance of every texel beyond a joint, along the bisector of the adjacent bones."""
        j = JOINTS.index(name)
        before = self.joints[j] - self.joints[PARENTS[j]]
        after = self._next(j) - self.joints[j]
        axis = _unit(
            _unit(before) * (0.0 if name.endswith("_mcp") and not name.startswith("thumb") else 1.0) + _unit(after)
        )
        return (self.position - self.joints[j]) @ axis

    def on_finger(self, finger: str) -> np.ndarray:
        """Return (N,) the total weight of a finger's bones, without its metacarpal."""
        own = [j for j, name in enumerate(JOINTS) if name.startswith(finger) and not name.endswith("cmc")]
        return self.bones[:, own].sum(1)

    def _next(self, j: int) -> np.ndarray:
        return self.tips[_ENDS.index(JOINTS[j])] if JOINTS[j] in _ENDS else self.joints[PARENTS.index(j)]


def read_anatomy(hand: dict[str, np.ndarray], chart: Chart) -> Anatomy:
    """Compute the fields of the mean hand."""
    open_faces = hand["faces"].astype(int)[: len(hand["nails"])]
    vertices, joints = 1e3 * hand["vertices"].astype(float), 1e3 * hand["joints"].astype(float)
    tips = vertices[hand["tips"].astype(int)]
    normals = _vertex_normals(vertices, open_faces)
    bones = _bones(hand["weights"].astype(float))
    nails = _nail_frames(vertices, open_faces, hand["nails"] > 0.5, tips)
    backs = _backs(joints, tips, [frame[1] for frame in nails])
    facing = np.einsum("vx,vx->v", normals, _rows_to_unit(bones @ backs))
    position, normal = chart.carry(vertices, open_faces), chart.carry(normals, open_faces)
    return Anatomy(
        position=position,
        palm=smoothstep(0.5, -0.4, chart.carry(facing, open_faces)),
        bones=chart.carry(bones, open_faces),
        joints=joints,
        tips=tips,
        nails=tuple(_nail(position, normal, *frame) for frame in nails),
    )


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Return 0 below `low`, 1 above `high` and a smooth ramp between; `low` may be the larger."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def _nail_frames(
    vertices: np.ndarray, faces: np.ndarray, is_nail: np.ndarray, tips: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Return per finger: centre, normal, direction to the tip, half sizes (across, along) of the nail's faces."""
    centres = vertices[faces].mean(1)
    nearest = np.linalg.norm(centres[:, None] - tips, axis=-1).argmin(1)
    frames = []
    for k in range(5):
        own = faces[is_nail & (nearest == k)]
        corners = vertices[own]
        area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal = _unit(area.sum(0))
        points = vertices[np.unique(own)]
        towards = tips[k] - points.mean(0)
        along = _unit(towards - normal * (towards @ normal))
        across = np.cross(along, normal)
        low = np.array([(points @ across).min(), (points @ along).min()])
        high = np.array([(points @ across).max(), (points @ along).max()])
        middle, half = (low + high) / 2, (high - low) / 2
        centre = across * middle[0] + along * middle[1] + normal * (points @ normal).mean()
        frames.append((centre, normal, along, half))
    return frames


def _nail(
    position: np.ndarray,
    normals: np.ndarray,
    centre: np.ndarray,
    normal: np.ndarray,
    along: np.ndarray,
    half: np.ndarray,
) -> Nail:
    offset = position - centre
    far = np.linalg.norm(offset, axis=1) > 3 * half.max()
    across = offset @ np.cross(along, normal) / half[0]
    return Nail(
        across=np.where(far, 9.0, across),
        along=np.where(far, 9.0, offset @ along / half[1]),
        facing=np.where(far, -1.0, normals @ normal),
        length_mm=float(2 * half[1]),
    )


def _backs(joints: np.ndarray, tips: np.ndarray, nail_normals: list[np.ndarray]) -> np.ndarray:
    """Return the direction of the back for every bone: the nail's for a finger, +z for the palm."""
    backs = np.tile(np.array([0.0, 0.0, 1.0]), (len(JOINTS), 1))
    for j, name in enumerate(JOINTS):
        finger = FINGERS.index(name.partition("_")[0]) if name != "palm" else -1
        if finger < 0 or (name.endswith("cmc") and finger > 0):
            continue
        end = tips[finger] if name in _ENDS else joints[PARENTS.index(j)]
        along = _unit(end - joints[j])
        back = nail_normals[finger]
        backs[j] = _unit(back - along * (back @ along))
    return backs


def _bones(weights: np.ndarray) -> np.ndarray:
    """Divide the half-way bones' weights between the two adjacent bones."""
    bones = weights[:, : len(JOINTS)].copy()
    for k, j in enumerate(HALVED):
        bones[:, j] += weights[:, len(JOINTS) + k] / 2
        bones[:, PARENTS[j]] += weights[:, len(JOINTS) + k] / 2
    return bones


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], area)
    return _rows_to_unit(normals)


def _rows_to_unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
