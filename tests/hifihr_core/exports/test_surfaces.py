from pathlib import Path

import numpy as np
import trimesh

from hifihr_core.exports.surfaces import vertex_colors, write_obj, write_ply
from hifihr_core.exports.textured_meshes import TexturedMesh, mirror_x


def test_obj_reloads_to_the_same_mesh(tmp_path: Path, mesh: TexturedMesh) -> None:
    for one in (mesh, mirror_x(mesh)):
        files = write_obj(tmp_path / "a.obj", one, name="a")
        assert sorted(path.name for path in files) == ["a.mtl", "a.obj", "a_texture.png"]
        loaded = trimesh.load(tmp_path / "a.obj", process=False)
        corners = (one.vertices * [1, -1, -1])[one.faces]
        np.testing.assert_allclose(loaded.vertices[loaded.faces], corners, atol=1e-6)
        np.testing.assert_allclose(loaded.visual.uv[loaded.faces], one.uvs[one.faces_uvs], atol=1e-6)
        np.testing.assert_array_equal(np.asarray(loaded.visual.material.image.convert("RGB")), one.texture)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (np.einsum("fx,fcx->fc", normals, loaded.vertex_normals[loaded.faces]) > 0).all()


def test_names_inside_an_obj_have_no_white_space_and_write_no_lines(tmp_path: Path, mesh: TexturedMesh) -> None:
    stem = "my hand\nv 9 9 9\tß手"
    files = write_obj(tmp_path / "my hand\n.obj", mesh, name=stem)
    assert [path.name for path in files[1:]] == ["my_hand_.mtl", "my_hand_v_9_9_9_ß手_texture.png"]
    assert all(path.is_file() for path in files)
    lines = files[0].read_text().splitlines()
    assert {"mtllib my_hand_.mtl", "o my_hand_v_9_9_9_ß手"} <= set(lines)
    assert "v 9 9 9" not in lines
    assert files[1].read_text().splitlines()[-1] == f"map_Kd {files[2].name}"


def test_obj_keeps_the_number_of_every_vertex(tmp_path: Path, mesh: TexturedMesh) -> None:
    write_obj(tmp_path / "a.obj", mesh)
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert sum(line.startswith("v ") for line in lines) == len(mesh.vertices)
    assert "f 1/1/1 2/2/2 3/3/3" in lines


def test_obj_and_ply_of_vertex_colors(tmp_path: Path, mesh: TexturedMesh) -> None:
    colors = np.linspace(0, 1, 18).reshape(6, 3)
    colored = TexturedMesh(mesh.vertices, mesh.faces, vertex_colors=colors)
    assert write_obj(tmp_path / "a.obj", colored) == [tmp_path / "a.obj"]
    loaded = trimesh.load(tmp_path / "a.obj", process=False)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, colors, atol=0.01)
    write_ply(tmp_path / "a.ply", colored)
    loaded = trimesh.load(tmp_path / "a.ply", process=False)
    np.testing.assert_allclose(loaded.vertices, mesh.vertices * [1, -1, -1], atol=1e-6)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, colors, atol=0.003)


def test_a_texture_becomes_one_color_per_vertex(mesh: TexturedMesh) -> None:
    texture = np.zeros((10, 10, 3), dtype=np.uint8)
    texture[4, 0], texture[6, 0] = 200, 100  # the rows of v = 0.6 and (just below) v = 0.4
    uvs = mesh.uvs - np.array([0, 1e-6])
    painted = TexturedMesh(mesh.vertices, mesh.faces, uvs, mesh.faces_uvs, texture)
    # Vertex 2 is on the seam: two corners at v = 0.4, one beyond it at v = 0.6.
    np.testing.assert_allclose(vertex_colors(painted)[2] * 255, (100 + 100 + 200) / 3)
