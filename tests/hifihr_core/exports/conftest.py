"""A small rigged mesh, and an independent reader of GLB files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from scipy.spatial.transform import Rotation

from hifihr_core.exports.textured_meshes import Rig, TexturedMesh, skinned_vertices


@pytest.fixture
def mesh() -> TexturedMesh:
    """A bent strip of four triangles on two bones, with a seam on its chart."""
    rest = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 2, 0], [1, 2, 0.0]]) * 0.05
    faces = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4], [3, 5, 4]])
    uvs = np.array([[0, 0], [1, 0], [0, 0.4], [1, 0.4], [0, 0.6], [1, 0.6], [0, 1], [1, 1.0]])
    faces_uvs = np.array([[0, 1, 2], [1, 3, 2], [4, 5, 6], [5, 7, 6]])
    T_bind_bone, T_cam_bone = (np.tile(np.eye(4), (2, 1, 1)) for _ in range(2))
    T_bind_bone[1, :3, 3] = [0.025, 0.05, 0]
    T_cam_bone[:, :3, 3] = [[0.1, -0.2, 0.6], [0.125, -0.15, 0.6]]
    T_cam_bone[1, :3, :3] = Rotation.from_rotvec([0.7, 0.1, 0]).as_matrix()
    weights = np.array([[1, 0], [1, 0], [0.5, 0.5], [0.5, 0.5], [0, 1], [0, 1.0]])
    rig = Rig(("wrist", "middle_mcp"), (-1, 0), rest, T_bind_bone, T_cam_bone, weights)
    texture = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return TexturedMesh(skinned_vertices(rig), faces, uvs, faces_uvs, texture, None, rig)


@pytest.fixture
def posed_by_a_viewer() -> Callable[..., tuple[np.ndarray, pygltflib.GLTF2]]:
    """Return ``posed(path, mesh=0)``: the vertices that a viewer shows, and the document."""
    return _posed


def _posed(path: Path, mesh: int = 0) -> tuple[np.ndarray, pygltflib.GLTF2]:
    """Return the vertices that a viewer shows: node transforms, inverse bind matrices and weights of the file alone."""
    document = pygltflib.GLTF2().load(str(path))
    blob = document.binary_blob()

    def read(index: int) -> np.ndarray:
        accessor = document.accessors[index]
        view = document.bufferViews[accessor.bufferView]
        kind = {pygltflib.FLOAT: np.float32, pygltflib.UNSIGNED_SHORT: np.uint16, pygltflib.UNSIGNED_INT: np.uint32}
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
        data = np.frombuffer(blob, kind[accessor.componentType], accessor.count * width, view.byteOffset or 0)
        return data.reshape(accessor.count, width)

    world: dict[int, np.ndarray] = {}

    def walk(index: int, above: np.ndarray) -> None:
        node = document.nodes[index]
        local = np.eye(4)
        local[:3, :3] = Rotation.from_quat(node.rotation or [0, 0, 0, 1]).as_matrix()
        local[:3, 3] = node.translation or 0
        world[index] = above @ local
        for child in node.children or []:
            walk(child, world[index])

    for root in document.scenes[0].nodes:
        walk(root, np.eye(4))
    skin, attributes = document.skins[mesh], document.meshes[mesh].primitives[0].attributes
    bind = read(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    motions = np.stack([world[joint] @ inverse for joint, inverse in zip(skin.joints, bind, strict=True)])
    positions = np.c_[read(attributes.POSITION), np.ones(document.accessors[attributes.POSITION].count)]
    bones, weights = read(attributes.JOINTS_0), read(attributes.WEIGHTS_0)
    return np.einsum("vk,vkij,vj->vi", weights, motions[bones], positions)[:, :3], document
