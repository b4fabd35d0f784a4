"""Textured, rigged meshes in memory, in the camera frame of the photo they came from (OpenCV axes, metres)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hifihr_core.drawing import to_bytes
from hifihr_core.geometry.meshes import vertex_normals
from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands import Hand, HandModel, HandParameters
from hifihr_core.lookup import needed
from hifihr_core.placed_hands import PlacedHands
from hifihr_core.records import Appearance


@dataclass(frozen=True)
class Rig:
    """The armature of a mesh and its pose: `hands.armature.Armature` for one hand, in the photo's camera frame.

    Concretely, vertex v is at ``sum_n weights[v, n] * (T_cam_bone[n] @ inverse(T_bind_bone[n]) @
    bind_vertices[v])``. `names` are our names of the joints where bones start; the parent of bone n is ``parents[n]``
    (-1: none). Each bone has +y towards its child, +x along its flexion axis, +z towards the palmar side. The bind
    frame is that of the wrist bone. Metres.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    bind_vertices: Float[np.ndarray, "V 3"]
    T_bind_bone: Float[np.ndarray, "N 4 4"]
    T_cam_bone: Float[np.ndarray, "N 4 4"]
    weights: Float[np.ndarray, "V N"]


@dataclass(frozen=True)
class TexturedMesh:
    """A posed mesh with its appearance.

    `faces` are counter-clockwise from outside. With a UV chart, `texture` is RGB, row 0 at the top (v = 1), and corner
    c of face f samples it at ``uvs[faces_uvs[f, c]]``; without a chart, `vertex_colors` are RGB in [0, 1]. The last
    `lid_faces` faces are a flat lid over the wrist.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uvs: Float[np.ndarray, "N 2"] | None = None
    faces_uvs: Int[np.ndarray, "F 3"] | None = None
    texture: UInt8[np.ndarray, "T T 3"] | None = None
    vertex_colors: Float[np.ndarray, "V 3"] | None = None
    rig: Rig | None = None
    lid_faces: int = 0


@dataclass(frozen=True)
class SplitMesh:
    """A mesh in which every vertex has a single UV, as real-time formats require.

    ``source[i]`` is the original vertex of which vertex i is a copy.
    """

    source: Int[np.ndarray, " M"]
    uvs: Float[np.ndarray, "M 2"]
    faces: Int[np.ndarray, "F 3"]


def split_at_seams(mesh: TexturedMesh) -> SplitMesh:
    """Duplicate the vertices on UV seams, so that vertices and UVs share one index.

    Raises: ValueError for a mesh without a chart.
    """
    if mesh.uvs is None or mesh.faces_uvs is None:
        raise ValueError("split_at_seams: the mesh has no UV chart; use unsplit")
    places = len(mesh.uvs)
    pairs, inverse = np.unique(mesh.faces.ravel() * places + mesh.faces_uvs.ravel(), return_inverse=True)
    source, place = np.divmod(pairs, places)
    return SplitMesh(source=source, uvs=mesh.uvs[place], faces=inverse.reshape(mesh.faces.shape))


def unsplit(mesh: TexturedMesh) -> SplitMesh:
    """Return a mesh without a UV chart as a `SplitMesh`, with the same vertices and zero UVs."""
    count = len(mesh.vertices)
    return SplitMesh(source=np.arange(count), uvs=np.zeros((count, 2)), faces=mesh.faces)


def mirror_x(mesh: TexturedMesh) -> TexturedMesh:
    """Return the mesh of the opposite hand: x negated, and faces re-wound so that they still point outwards.

    The rig is mirrored with it: for M = diag(-1, 1, 1, 1), each bone's transform T becomes M T M, which is a rotation
    again, and a positive turn about a bone's +x still curls the finger.
    """
    axis = mirror_axis("left")
    return replace(
        mesh,
        vertices=mesh.vertices * axis,
        faces=mesh.faces[:, ::-1].copy(),
        faces_uvs=None if mesh.faces_uvs is None else mesh.faces_uvs[:, ::-1].copy(),
        rig=None if mesh.rig is None else _mirror_rig(mesh.rig),
    )


def _mirror_rig(rig: Rig) -> Rig:
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    return replace(
        rig,
        bind_vertices=rig.bind_vertices * flip.diagonal()[:3],
        T_bind_bone=flip @ rig.T_bind_bone @ flip,
        T_cam_bone=flip @ rig.T_cam_bone @ flip,
    )


def skinned_vertices(rig: Rig) -> Float[np.ndarray, "V 3"]:
    """Return the posed vertices, camera frame, metres, by linear blend skinning of the rig."""
    motions = (rig.T_cam_bone @ np.linalg.inv(rig.T_bind_bone))[:, :3]
    homogeneous = np.concatenate((rig.bind_vertices, np.ones_like(rig.bind_vertices[:, :1])), axis=1)
    return np.einsum("vn,nij,vj->vi", rig.weights, motions, homogeneous, optimize=True)


def posed_mesh(model: HandModel, hand: PlacedHands) -> TexturedMesh:
    """Return the mesh of one right hand in the camera frame, with its rig and the model's own appearance.

    Raises: ValueError for parameters without a texture.
    """
    return hand_mesh(model, hand, model(hand.parameters), 0)


def hand_mesh(model: HandModel, hand: PlacedHands, posed: Hand, i: int) -> TexturedMesh:
    """Return the mesh of row `i` of the batch `posed`, in the camera frame; `hand` has its parameters and position.

    Raises: ValueError for parameters without a texture.
    """
    appearance = posed.appearance
    if appearance is None:
        raise ValueError(f"{model.name}: the parameters have no texture, expected one for the mesh")
    vertices, faces = _numpy(posed.vertices[i] + hand.root_cam[0]), _integers(model.faces)
    rig = hand_rig(model, hand.parameters, hand.root_cam)
    mesh = TexturedMesh(vertices, faces, rig=rig, lid_faces=model.lid_faces)
    if appearance.uvs is None or appearance.faces_uvs is None:
        return replace(mesh, vertex_colors=_numpy(appearance.albedo[i].clamp(0, 1)))
    uvs, faces_uvs = _numpy(appearance.uvs), _integers(appearance.faces_uvs)
    return replace(mesh, uvs=uvs, faces_uvs=faces_uvs, texture=to_bytes(appearance.albedo[i]))


def surface_normals(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Return unit vertex normals: the area-weighted means of the normals of adjacent faces."""
    return vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()


def hand_rig(hand: HandModel, parameters: HandParameters, root_cam: Float[Tensor, "1 3"]) -> Rig | None:
    """Return the rig of one right hand with joint 9 at `root_cam`, or None if its model has none."""
    armature = hand.armature(parameters)
    if armature is None:
        return None
    T_cam_root = np.eye(4)
    T_cam_root[:3, 3] = _numpy(root_cam[0])
    return Rig(
        names=armature.names,
        parents=armature.parents,
        bind_vertices=_numpy(armature.bind_vertices[0]),
        T_bind_bone=_numpy(armature.T_bind_bone[0]),
        T_cam_bone=T_cam_root @ _numpy(armature.T_root_bone[0]),
        weights=_numpy(armature.weights),
    )


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()


def _integers(values: Tensor) -> np.ndarray:
    return values.cpu().long().numpy()


def appearance_of(mesh: TexturedMesh) -> Appearance:
    """Return the appearance of a mesh for the renderer: its texture or its vertex colours, a batch of one."""
    if mesh.texture is None:
        colors = needed(mesh.vertex_colors, "the colours of a mesh without a texture")
        return Appearance(torch.from_numpy(colors).float()[None])
    albedo = torch.from_numpy(mesh.texture).permute(2, 0, 1).float()[None] / 255
    uvs, faces_uvs = needed(mesh.uvs, "the UV chart of a texture"), needed(mesh.faces_uvs, "the UV chart of a texture")
    return Appearance(albedo, torch.from_numpy(uvs).float(), torch.from_numpy(faces_uvs))
