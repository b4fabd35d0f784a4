"""Textured, skinned meshes in memory, in the camera frame of the photo they came from (OpenCV axes, metres)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8


@dataclass(frozen=True)
class Skin:
    """The skeleton that moves a mesh, and how it stands.

    Concretely, vertex v of the rest mesh moves to ``sum_j weights[v, j] * T_cam_rest[j] @ rest_vertices[v]``, which is
    the posed mesh; bone j hangs from ``parents[j]`` (-1: from nothing) and starts at ``rest_joints[j]``.
    Both rest arrays are metres in the model's own rest frame.
    """

    rest_vertices: Float[np.ndarray, "V 3"]
    rest_joints: Float[np.ndarray, "N 3"]
    parents: tuple[int, ...]
    weights: Float[np.ndarray, "V N"]
    T_cam_rest: Float[np.ndarray, "N 4 4"]


@dataclass(frozen=True)
class TexturedMesh:
    """A posed mesh with its appearance.

    `faces` are counter-clockwise from outside. With a chart, `texture` is RGB, row 0 at the top (v = 1), and corner c
    of face f samples it at ``uvs[faces_uvs[f, c]]``; without, `vertex_colors` are RGB in [0, 1].
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uvs: Float[np.ndarray, "N 2"] | None = None
    faces_uvs: Int[np.ndarray, "F 3"] | None = None
    texture: UInt8[np.ndarray, "T T 3"] | None = None
    vertex_colors: Float[np.ndarray, "V 3"] | None = None
    skin: Skin | None = None


@dataclass(frozen=True)
class SplitMesh:
    """A mesh whose every vertex has one place on the chart, as real-time formats want it.

    ``source[i]`` is the vertex of the original mesh that vertex i is a copy of.
    """

    source: Int[np.ndarray, " M"]
    uvs: Float[np.ndarray, "M 2"]
    faces: Int[np.ndarray, "F 3"]


def split_at_seams(mesh: TexturedMesh) -> SplitMesh:
    """Copy the vertices on the seams of the chart, so that vertices and UVs share one index.

    Raises ValueError for a mesh without a chart.
    """
    if mesh.uvs is None or mesh.faces_uvs is None:
        raise ValueError("split_at_seams: the mesh has no UV chart")
    corners = np.stack((mesh.faces.ravel(), mesh.faces_uvs.ravel()), axis=1)
    pairs, inverse = np.unique(corners, axis=0, return_inverse=True)
    return SplitMesh(source=pairs[:, 0], uvs=mesh.uvs[pairs[:, 1]], faces=inverse.reshape(mesh.faces.shape))


def mirror_x(mesh: TexturedMesh) -> TexturedMesh:
    """Return the mesh of the other hand: x negated, faces turned round so that they still face outwards.

    The skin is mirrored with it: for M = diag(-1, 1, 1, 1), each bone's transform T becomes M T M.
    """
    axis = np.array([-1.0, 1.0, 1.0])
    skin = mesh.skin
    if skin is not None:
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        skin = Skin(
            rest_vertices=skin.rest_vertices * axis,
            rest_joints=skin.rest_joints * axis,
            parents=skin.parents,
            weights=skin.weights,
            T_cam_rest=flip @ skin.T_cam_rest @ flip,
        )
    return TexturedMesh(
        vertices=mesh.vertices * axis,
        faces=mesh.faces[:, ::-1].copy(),
        uvs=mesh.uvs,
        faces_uvs=None if mesh.faces_uvs is None else mesh.faces_uvs[:, ::-1].copy(),
        texture=mesh.texture,
        vertex_colors=mesh.vertex_colors,
        skin=skin,
    )


def skinned_vertices(skin: Skin) -> Float[np.ndarray, "V 3"]:
    """Return the posed vertices that a viewer computes from the skin."""
    homogeneous = np.concatenate((skin.rest_vertices, np.ones_like(skin.rest_vertices[:, :1])), axis=1)
    per_bone = np.einsum("nij,vj->vni", skin.T_cam_rest[:, :3], homogeneous)
    return np.einsum("vn,vni->vi", skin.weights, per_bone)
