from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.exports.formats import check_formats, refuse_existing, write_obj
from hifihr_core.exports.gltf import strongest_influences
from hifihr_core.exports.meshes import Rig, TexturedMesh, mirror_x, skinned_vertices, split_at_seams
from hifihr_core.exports.scenes import write_glb


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


def test_split_at_seams_keeps_every_corner(mesh: TexturedMesh) -> None:
    split = split_at_seams(mesh)
    assert len(split.source) == 8  # two vertices lie on the seam
    np.testing.assert_array_equal(split.source[split.faces], mesh.faces)
    np.testing.assert_array_equal(split.uvs[split.faces], mesh.uvs[mesh.faces_uvs])


def test_mirrored_mesh_faces_outwards_and_its_rig_poses_it(mesh: TexturedMesh) -> None:
    other = mirror_x(mesh)

    def normals(one: TexturedMesh) -> np.ndarray:
        corners = one.vertices[one.faces]
        return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])

    np.testing.assert_allclose(normals(other), normals(mesh) * [-1, 1, 1], atol=1e-12)
    np.testing.assert_allclose(skinned_vertices(other.rig), other.vertices, atol=1e-12)
    np.testing.assert_array_equal(other.uvs[other.faces_uvs], mesh.uvs[mesh.faces_uvs][:, ::-1])


def test_strongest_influences_sum_to_one() -> None:
    weights = np.random.default_rng(1).dirichlet(np.full(6, 0.5), size=20)
    bones, kept = strongest_influences(weights)
    np.testing.assert_allclose(kept.sum(axis=1), 1)
    np.testing.assert_array_equal(bones[:, 0], weights.argmax(axis=1))
    bones, kept = strongest_influences(np.eye(2))
    np.testing.assert_array_equal(kept, [[1, 0, 0, 0], [1, 0, 0, 0]])
    assert bones.max() <= 1


def _posed_by_a_viewer(path: Path) -> tuple[np.ndarray, pygltflib.GLTF2]:
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
    skin, attributes = document.skins[0], document.meshes[0].primitives[0].attributes
    bind = read(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    motions = np.stack([world[joint] @ inverse for joint, inverse in zip(skin.joints, bind, strict=True)])
    positions = np.c_[read(attributes.POSITION), np.ones(document.accessors[attributes.POSITION].count)]
    bones, weights = read(attributes.JOINTS_0), read(attributes.WEIGHTS_0)
    return np.einsum("vk,vkij,vj->vi", weights, motions[bones], positions)[:, :3], document


@pytest.mark.parametrize("left", [False, True])
def test_glb_opens_posed(tmp_path: Path, mesh: TexturedMesh, left: bool) -> None:
    mesh = mirror_x(mesh) if left else mesh
    write_glb(tmp_path / "a.glb", mesh, side="left" if left else "right")
    shown, document = _posed_by_a_viewer(tmp_path / "a.glb")
    np.testing.assert_allclose(shown, (mesh.vertices * [1, -1, -1])[split_at_seams(mesh).source], atol=1e-6)
    bones = ["leftHand", "leftMiddleProximal"] if left else ["rightHand", "rightMiddleProximal"]
    assert [node.name for node in document.nodes] == ["hand", "hand_armature", *bones]
    assert all(node.scale is None and node.matrix is None for node in document.nodes)
    assert all(view.byteOffset % 4 == 0 for view in document.bufferViews)


def test_glb_opens_in_another_library(tmp_path: Path, mesh: TexturedMesh) -> None:
    still = TexturedMesh(**{**vars(mesh), "rig": None})
    write_glb(tmp_path / "a.glb", still)
    [loaded] = trimesh.load(tmp_path / "a.glb").geometry.values()
    split = split_at_seams(mesh)
    np.testing.assert_allclose(loaded.vertices, (mesh.vertices * [1, -1, -1])[split.source], atol=1e-6)
    np.testing.assert_allclose(loaded.visual.uv, split.uvs, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(loaded.visual.material.baseColorTexture.convert("RGB")), mesh.texture)


def test_glb_with_vertex_colors(tmp_path: Path, mesh: TexturedMesh) -> None:
    colored = TexturedMesh(mesh.vertices, mesh.faces, vertex_colors=np.full((6, 3), 0.5))
    write_glb(tmp_path / "a.glb", colored)
    [loaded] = trimesh.load(tmp_path / "a.glb").geometry.values()
    np.testing.assert_allclose(loaded.vertices, mesh.vertices * [1, -1, -1], atol=1e-6)


def test_obj_reloads_to_the_same_mesh(tmp_path: Path, mesh: TexturedMesh) -> None:
    files = write_obj(tmp_path / "a.obj", mesh, name="a")
    assert sorted(path.name for path in files) == ["a.mtl", "a.obj", "a_texture.png"]
    loaded = trimesh.load(tmp_path / "a.obj", process=False)
    split = split_at_seams(mesh)
    corners = (mesh.vertices * [1, -1, -1])[split.source][split.faces]
    np.testing.assert_allclose(loaded.vertices[loaded.faces], corners, atol=1e-6)
    np.testing.assert_allclose(loaded.visual.uv[loaded.faces], split.uvs[split.faces], atol=1e-6)
    np.testing.assert_array_equal(np.asarray(loaded.visual.material.image.convert("RGB")), mesh.texture)


def test_formats_and_existing_files(tmp_path: Path) -> None:
    assert check_formats(["obj", "glb", "obj"]) == ("obj", "glb")
    with pytest.raises(ConfigError, match="fbx"):
        check_formats(["fbx"])
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="overwrite"):
        refuse_existing([tmp_path / "b", tmp_path / "a"])
