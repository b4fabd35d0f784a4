import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from hifihr_core.errors import ConfigError
from hifihr_core.exports.scenes import PhotoView, SceneHand, SceneLight, write_glb, write_scene
from hifihr_core.exports.textured_meshes import TexturedMesh, mirror_x, split_at_seams

K = np.array([[400.0, 0, 150], [0, 410, 110], [0, 0, 1]])


@pytest.mark.parametrize("left", [False, True])
def test_glb_opens_posed(tmp_path: Path, mesh: TexturedMesh, posed_by_a_viewer: Callable, left: bool) -> None:
    mesh = mirror_x(mesh) if left else mesh
    write_glb(tmp_path / "a.glb", mesh, side="left" if left else "right")
    shown, document = posed_by_a_viewer(tmp_path / "a.glb")
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


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_scene_holds_every_hand_camera_light_and_photo(
    tmp_path: Path, mesh: TexturedMesh, posed_by_a_viewer: Callable, count: int
) -> None:
    hands = [
        SceneHand(mirror_x(mesh) if k == 1 else mesh, f"a_{k}", "left" if k == 1 else "right") for k in range(count)
    ]
    photo = np.full((220, 300, 3), 90, dtype=np.uint8)
    light = SceneLight(np.array([0.5, 0.4, 0.3]), np.array([0.0, -1.0, 0.0]), np.full(3, 0.4))
    write_scene(tmp_path / "a.glb", hands, view=PhotoView(K, (300, 220), photo), light=light, extras={"photo": "a.jpg"})
    document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    named = {node.name: node for node in document.nodes}
    assert [f"a_{k}" in named for k in range(3)] == [k < count for k in range(3)]
    assert document.scenes[0].extras == {"units": "metres", "photo": "a.jpg"}
    assert named["photo_camera"].extras["K"] == K.tolist()
    assert document.cameras[0].perspective.yfov == pytest.approx(2 * np.arctan(110 / 410))
    towards = Rotation.from_quat(named["photo_light"].rotation).apply([0, 0, 1])
    np.testing.assert_allclose(towards, [0, 1, 0], atol=1e-12)  # the light is above; glTF's y is up
    for k in range(count):
        shown, _ = posed_by_a_viewer(tmp_path / "a.glb", k)
        expected = (hands[k].mesh.vertices * [1, -1, -1])[split_at_seams(mesh).source]
        np.testing.assert_allclose(shown, expected, atol=1e-6)
    _, blob = document.meshes[-1], document.binary_blob()
    accessor = document.accessors[document.meshes[-1].primitives[0].attributes.POSITION]
    offset = document.bufferViews[accessor.bufferView].byteOffset
    corners = np.frombuffer(blob, np.float32, 12, offset).reshape(4, 3) * [1, -1, -1]
    projected = corners @ K.T
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], [[0, 220], [300, 220], [300, 0], [0, 0]], atol=1e-3)
    assert corners[:, 2].min() > max((hand.mesh.vertices[:, 2].max() for hand in hands), default=0)


def test_bones_are_named_in_every_style(tmp_path: Path, mesh: TexturedMesh) -> None:
    for style, expected in {
        "vrm": ["leftHand", "leftMiddleProximal"],
        "unreal": ["hand_l", "middle_01_l"],
        "mano": ["left_wrist", "left_middle1"],
    }.items():
        write_glb(tmp_path / "a.glb", mirror_x(mesh), side="left", bones=style)
        document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
        assert [document.nodes[joint].name for joint in document.skins[0].joints] == expected
    with pytest.raises(ConfigError, match="vrm, unreal, mano"):
        write_glb(tmp_path / "a.glb", mesh, bones="maya")


def test_the_clip_opens_the_hand_and_returns(tmp_path: Path, mesh: TexturedMesh) -> None:
    write_glb(tmp_path / "a.glb", mesh)
    document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    [animation] = document.animations
    [channel] = animation.channels  # the wrist stays, and the finger turns without a shift
    assert (document.nodes[channel.target.node].name, channel.target.path) == ("rightMiddleProximal", "rotation")
    accessor = document.accessors[animation.samplers[0].output]
    offset = document.bufferViews[accessor.bufferView].byteOffset
    turns = np.frombuffer(document.binary_blob(), np.float32, 4 * accessor.count, offset).reshape(-1, 4)
    np.testing.assert_allclose(
        turns[[0, 1, 3]], np.tile(document.nodes[channel.target.node].rotation, (3, 1)), atol=1e-6
    )
    np.testing.assert_allclose(np.abs(turns[2]), [0, 0, 0, 1], atol=1e-6)  # flat


def test_a_hand_without_bones_is_a_mesh(tmp_path: Path, mesh: TexturedMesh) -> None:
    write_scene(tmp_path / "a.glb", [SceneHand(replace(mesh, rig=None))])
    raw = (tmp_path / "a.glb").read_bytes()
    length = struct.unpack("<I", raw[12:16])[0]
    document = json.loads(raw[20 : 20 + length])
    assert not document.get("skins")
    assert not document.get("animations")
