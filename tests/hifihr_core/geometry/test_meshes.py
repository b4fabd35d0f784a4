import pytest
import torch
import trimesh

from hifihr_core.geometry.meshes import (
    edge_adjacency,
    edges,
    face_areas,
    face_cross,
    last_corners,
    vertex_normals,
)


@pytest.fixture
def tetrahedron():
    verts = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    return verts, torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


@pytest.fixture
def sphere():
    mesh = trimesh.creation.icosphere(subdivisions=2)
    return torch.tensor(mesh.vertices), torch.tensor(mesh.faces)


def test_tetrahedron_by_hand(tetrahedron):
    verts, faces = tetrahedron
    cross = face_cross(verts, faces)
    assert torch.allclose(cross[0], torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64))
    assert torch.allclose(cross[3], torch.ones(3, dtype=torch.float64))
    assert torch.allclose(face_areas(verts, faces)[:3], torch.full((3,), 0.5, dtype=torch.float64))


def test_sphere_normals_point_outwards(sphere):
    verts, faces = sphere
    assert ((vertex_normals(verts, faces) * verts).sum(-1) > 0.999).all()


def test_normals_are_batched(sphere):
    verts, faces = sphere
    batch = torch.stack([verts, verts * 2])
    assert torch.allclose(vertex_normals(batch, faces)[1], vertex_normals(verts, faces))


def test_closed_mesh_has_two_faces_per_edge(sphere):
    verts, faces = sphere
    around = edge_adjacency(faces)
    assert len(around.edges) == len(faces) * 3 // 2
    assert (around.opposite >= 0).all()
    for side in range(2):
        corners = torch.cat([around.edges, around.opposite[:, side, None]], dim=1).sort(dim=1).values
        assert torch.equal(corners, faces[around.faces[:, side]].sort(dim=1).values)
    assert len(verts) - len(around.edges) + len(faces) == 2


def test_border_and_crowded_edges():
    border = edge_adjacency(torch.tensor([[0, 1, 2], [2, 1, 3]]))
    assert border.edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    assert border.opposite.tolist() == [[2, -1], [1, -1], [0, 3], [2, -1], [1, -1]]
    crowded = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    assert edge_adjacency(crowded).opposite[:2].tolist() == [[2, 3], [4, -1]]
    assert len(edges(crowded)) == 7


def test_degenerate_faces_have_no_normal_and_a_finite_gradient():
    verts = torch.zeros((3, 3), dtype=torch.float64, requires_grad=True)
    faces = torch.tensor([[0, 1, 2]])
    total = vertex_normals(verts, faces).sum() + face_areas(verts, faces).sum()
    total.backward()
    assert total == 0
    assert torch.equal(verts.grad, torch.zeros_like(verts))


def test_normals_gradcheck(tetrahedron):
    verts, faces = tetrahedron
    verts.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, faces), verts)
    assert torch.autograd.gradcheck(lambda v: face_areas(v, faces), verts)


def test_each_vertex_has_its_last_corner():
    faces = torch.tensor([[0, 1, 2], [2, 1, 3], [3, 0, 2]], dtype=torch.int32)
    assert last_corners(faces).tolist() == [7, 4, 8, 6]
