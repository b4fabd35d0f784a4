import numpy as np

from hifihr_core.exports.textured_meshes import TexturedMesh, mirror_x, skinned_vertices, split_at_seams


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
