"""A short, closed forearm stub that hides the cut at the wrist, for files that people look at.

Hand models end at the wrist: open (MANO) or closed by a flat lid (`anny`). The stub continues the rim along the
wrist bone, widens slightly as a forearm does, and has a rounded end. It has the colours of the rim and moves with the
wrist.
"""

import itertools
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from hifihr_core.exports.textured_meshes import Rig, TexturedMesh

#: Rings of the stub: distance along the forearm, metres, and width relative to the rim; the last is a point.
_RINGS = ((0.012, 1.03), (0.024, 1.05), (0.034, 1.0), (0.041, 0.84), (0.0455, 0.55), (0.0475, 0.0))


def with_forearm(mesh: TexturedMesh) -> TexturedMesh:
    """Return the mesh with a stub of the forearm in place of its lid, or on its open rim.

    The model's vertices keep their indices; those of the stub come after them. A mesh without a rig, or without exactly
    one rim, is returned unchanged.
    """
    skin_faces = len(mesh.faces) - mesh.lid_faces
    edges = _rim_edges(mesh.faces[:skin_faces])
    if mesh.rig is None or edges is None:
        return mesh
    rim = mesh.faces[edges[:, 0], edges[:, 1]]
    faces, corners = _stub_faces(rim, len(mesh.vertices))
    rig = _longer_rig(mesh.rig, rim)
    stub = rig.bind_vertices[len(mesh.vertices) :] @ rig.T_cam_bone[0, :3, :3].T + rig.T_cam_bone[0, :3, 3]
    appearance: dict[str, np.ndarray] = {}
    if mesh.faces_uvs is not None:
        appearance["faces_uvs"] = np.concatenate(
            (mesh.faces_uvs[:skin_faces], _stub_uvs(mesh.faces_uvs, edges, corners))
        )
    if mesh.vertex_colors is not None:
        rings = np.tile(mesh.vertex_colors[rim], (len(_RINGS) - 1, 1))
        end = mesh.vertex_colors[rim].mean(axis=0, keepdims=True)
        appearance["vertex_colors"] = np.concatenate((mesh.vertex_colors, rings, end))
    return replace(
        mesh,
        vertices=np.concatenate((mesh.vertices, stub)),
        faces=np.concatenate((mesh.faces[:skin_faces], faces)),
        rig=rig,
        lid_faces=0,
        **appearance,
    )


def _rim_edges(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "R 2"] | None:
    """Return the rim's edges in order, as (face, first corner); None unless the mesh has exactly one rim."""
    starts, ends = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    count = int(faces.max()) + 1
    alone = ~np.isin(starts * count + ends, ends * count + starts)
    after = {int(starts[k]): int(k) for k in np.flatnonzero(alone)}
    if not after or len(after) != alone.sum():
        return None
    first = edge = next(iter(after.values()))
    order = [edge]
    while (edge := after.get(int(ends[edge]), -1)) not in (first, -1):
        order.append(edge)
    if edge == -1 or len(order) != len(after):
        return None
    return np.stack((np.array(order) // 3, np.array(order) % 3), axis=1)


def _longer_rig(rig: Rig, rim: Int[np.ndarray, " R"]) -> Rig:
    """Return the rig with the stub's vertices, all bound to the wrist bone, whose -y points along the forearm."""
    points = rig.bind_vertices[rim]
    middle = points.mean(axis=0)
    rings = [middle + width * (points - middle) + [0.0, -length, 0.0] for length, width in _RINGS[:-1]]
    end = middle + np.array([0.0, -_RINGS[-1][0], 0.0])
    vertices = np.concatenate((rig.bind_vertices, *rings, end[None]))
    weights = np.zeros((len(vertices), rig.weights.shape[1]))
    weights[: len(rig.weights)] = rig.weights
    weights[len(rig.weights) :, 0] = 1.0
    return replace(rig, bind_vertices=vertices, weights=weights)


def _stub_faces(
    rim: Int[np.ndarray, " R"], first: int
) -> tuple[Int[np.ndarray, "S 3"], list[tuple[tuple[int, int], ...]]]:
    """Return the faces of the stub and, for each corner, the index of its rim edge and the end (0 or 1) of that edge.

    An edge of the rim runs from a to b in the skin's faces, so the faces beyond it run from b to a.
    """
    count = len(rim)
    rings = [rim, *(first + count * k + np.arange(count) for k in range(len(_RINGS) - 1))]
    faces: list[tuple[int, int, int]] = []
    corners: list[tuple[tuple[int, int], ...]] = []
    for edge in range(count):
        a, b = edge, (edge + 1) % count
        for near, far in itertools.pairwise(rings):
            faces += [(near[b], near[a], far[a]), (near[b], far[a], far[b])]
            corners += [((edge, 1), (edge, 0), (edge, 0)), ((edge, 1), (edge, 0), (edge, 1))]
        faces.append((rings[-1][b], rings[-1][a], first + count * (len(_RINGS) - 1)))
        corners.append(((edge, 1), (edge, 0), (edge, 0)))
    return np.array(faces), corners


def _stub_uvs(
    faces_uvs: Int[np.ndarray, "F 3"], edges: Int[np.ndarray, "R 2"], corners: list[tuple[tuple[int, int], ...]]
) -> Int[np.ndarray, "S 3"]:
    """Return the UV indices of the stub's faces: those of the skin at the same ends of the rim's edges."""
    rim = np.stack((faces_uvs[edges[:, 0], edges[:, 1]], faces_uvs[edges[:, 0], (edges[:, 1] + 1) % 3]), axis=1)
    picked = np.array(corners)
    return rim[picked[..., 0], picked[..., 1]]
