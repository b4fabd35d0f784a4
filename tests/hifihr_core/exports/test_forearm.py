from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from hifihr_core.exports.forearm import with_forearm
from hifihr_core.exports.textured_meshes import TexturedMesh, mirror_x, posed_mesh, skinned_vertices
from hifihr_core.hands import load_hand
from hifihr_core.placed_hands import PlacedHands, mean_texture


@pytest.fixture(scope="module")
def hand_mesh() -> TexturedMesh:
    hand = load_hand("anny", texture_px=32)
    parameters = mean_texture(hand, hand.mean_parameters())
    return posed_mesh(hand, PlacedHands(parameters, torch.tensor([[0.1, 0.0, 0.5]])))


@pytest.mark.parametrize("left", [False, True])
def test_the_stub_closes_the_hand_and_carries_it_on(hand_mesh: TexturedMesh, left: bool) -> None:
    mesh = mirror_x(hand_mesh) if left else hand_mesh
    longer = with_forearm(mesh)
    before, after = (trimesh.Trimesh(one.vertices, one.faces, process=False) for one in (mesh, longer))
    assert after.is_watertight
    assert after.is_winding_consistent
    assert before.volume > 0
    assert after.volume > before.volume * 1.1
    np.testing.assert_array_equal(longer.vertices[: len(mesh.vertices)], mesh.vertices)
    wrist = mesh.rig.T_cam_bone[0]
    added = (longer.vertices[len(mesh.vertices) :] - wrist[:3, 3]) @ wrist[:3, :3]
    assert added[:, 1].max() < 0  # all of it on the forearm's side
    assert -0.09 < added[:, 1].min() < -0.04


def test_the_stub_moves_with_the_wrist_and_has_the_rims_colours(hand_mesh: TexturedMesh) -> None:
    longer = with_forearm(hand_mesh)
    new = slice(len(hand_mesh.vertices), None)
    np.testing.assert_allclose(skinned_vertices(longer.rig)[new], longer.vertices[new], atol=1e-9)
    assert len(longer.faces_uvs) == len(longer.faces)
    lid = len(hand_mesh.faces) - hand_mesh.lid_faces
    rim_places = np.unique(hand_mesh.faces_uvs[:lid])
    assert np.isin(longer.faces_uvs[lid:], rim_places).all()
    colored = replace(
        hand_mesh, uvs=None, faces_uvs=None, texture=None, vertex_colors=np.full_like(hand_mesh.vertices, 0.3)
    )
    np.testing.assert_allclose(with_forearm(colored).vertex_colors[new], 0.3)


def test_an_open_rim_is_closed_too(hand_mesh: TexturedMesh) -> None:
    lid = len(hand_mesh.faces) - hand_mesh.lid_faces
    opened = replace(hand_mesh, faces=hand_mesh.faces[:lid], faces_uvs=hand_mesh.faces_uvs[:lid], lid_faces=0)
    longer = with_forearm(opened)
    assert trimesh.Trimesh(longer.vertices, longer.faces, process=False).is_watertight


def test_meshes_without_one_rim_stay(hand_mesh: TexturedMesh) -> None:
    closed = replace(hand_mesh, lid_faces=0)
    assert with_forearm(closed) is closed
    still = replace(hand_mesh, rig=None)
    assert with_forearm(still) is still
    torn = replace(hand_mesh, faces=hand_mesh.faces[1:], faces_uvs=hand_mesh.faces_uvs[1:])
    assert with_forearm(torn) is torn
