import pytest
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel
from hifihr_core.placed_hands import (
    NEAR_M,
    LitHands,
    PlacedHands,
    choose,
    default_light,
    draw_hands,
    map_tensors,
    mean_texture,
    pose_hands,
)
from hifihr_core.rendering import Renderer

K = torch.tensor([[[220.0, 0, 32], [0, 220, 32], [0, 0, 1]]])


@pytest.fixture
def placed(hand: HandModel) -> PlacedHands:
    return PlacedHands(hand.mean_parameters(2), torch.tensor([[0.0, 0.0, 0.5], [0.02, 0.0, 0.6]]))


def test_joints_vertices_and_pixels_belong_together(hand: HandModel, placed: PlacedHands) -> None:
    posed = pose_hands(hand, placed, K.expand(2, 3, 3))
    torch.testing.assert_close(posed.joints_cam[:, 9], placed.root_cam)
    torch.testing.assert_close(posed.verts_cam - posed.hand.vertices, placed.root_cam[:, None].expand(-1, 1609, -1))
    torch.testing.assert_close(posed.joints_px, project(posed.joints_cam, K.expand(2, 3, 3)))


def test_a_joint_behind_the_camera_is_projected_as_if_it_were_near(hand: HandModel, placed: PlacedHands) -> None:
    behind = PlacedHands(placed.parameters, torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 0.5]]))
    posed = pose_hands(hand, behind, K.expand(2, 3, 3))
    torch.testing.assert_close(posed.joints_px[0, 9], torch.tensor([32.0, 32.0]))
    assert posed.joints_cam[0, 9, 2] == -1
    assert NEAR_M < 0.02


def test_lit_hands_have_a_texture(hand: HandModel, placed: PlacedHands) -> None:
    bare = map_tensors(torch.clone, placed.parameters)
    bare = type(bare)(bare.global_orient, bare.pose, bare.shape)
    with pytest.raises(ValueError, match="texture"):
        LitHands(bare, placed.root_cam, default_light(placed.root_cam))
    lit = LitHands(mean_texture(hand, bare), placed.root_cam, default_light(placed.root_cam))
    assert lit.texture.shape == (2, hand.texture_dim)
    drawn = draw_hands(hand, Renderer(hand.faces, height=64, width=64), lit, K.expand(2, 3, 3))
    assert float(drawn.rendered.silhouette.amax()) > 0.9


def test_one_hand_of_many(hand: HandModel, placed: PlacedHands) -> None:
    lit = LitHands(placed.parameters, placed.root_cam, default_light(placed.root_cam))
    one = map_tensors(lambda values: values[1:], lit)
    assert len(one) == 1
    assert one.light.sky is None
    mixed = choose(torch.tensor([True, False]), lit, map_tensors(lambda values: values + 1, lit))
    torch.testing.assert_close(mixed.root_cam[0], lit.root_cam[0])
    torch.testing.assert_close(mixed.light.color[1], lit.light.color[1] + 1)
