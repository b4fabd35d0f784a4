"""A hand's light takes the brightness and colour of its photo, and nothing else of it."""

from dataclasses import replace

import pytest
import torch

from hifihr_core.hands import HandModel
from hifihr_core.placed_hands import LitHands, default_light
from hifihr_core.prediction.crops import Crops
from hifihr_core.prediction.match_light import GAIN, match_light
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer

PX = 48


@pytest.fixture
def scene(hand: HandModel) -> tuple[LitHands, Crops, Renderer]:
    """A hand, and the photo of it under a dimmer, bluer light."""
    parameters = hand.mean_parameters(1)
    parameters = replace(parameters, texture=torch.zeros(1, hand.texture_dim))
    root_cam = torch.tensor([[0.0, 0.0, 0.5]])
    state = LitHands(parameters, root_cam, default_light(root_cam))
    K = torch.tensor([[[130.0, 0.0, PX / 2], [0.0, 130.0, PX / 2], [0.0, 0.0, 1.0]]])
    renderer = Renderer(hand.faces, height=PX, width=PX)
    tint = torch.tensor([0.5, 0.6, 0.9])
    shone_on = replace(state.light, ambient=state.light.ambient * tint, color=state.light.color * tint)
    posed = hand(parameters)
    image = renderer(posed.vertices + root_cam[:, None], K, posed.appearance, shone_on).image
    nothing = torch.zeros(1, 21)
    return state, Crops(image, K, torch.eye(3)[None], torch.zeros(1, 21, 2), nothing, ("right",)), renderer


def test_the_light_of_the_photo_is_found(hand: HandModel, scene: tuple[LitHands, Crops, Renderer]) -> None:
    state, crops, renderer = scene
    matched = match_light(hand, renderer, state, crops)
    torch.testing.assert_close(
        matched.light.ambient, state.light.ambient * torch.tensor([0.5, 0.6, 0.9]), atol=0, rtol=0.02
    )
    torch.testing.assert_close(matched.light.color / matched.light.ambient, state.light.color / state.light.ambient)
    assert matched.light.direction is state.light.direction
    assert matched.parameters is state.parameters


def test_what_covers_a_part_of_the_hand_changes_little(
    hand: HandModel, scene: tuple[LitHands, Crops, Renderer]
) -> None:
    state, crops, renderer = scene
    covered = crops.image.clone()
    covered[:, :, : PX // 2 - 2] = 1.0
    plain = match_light(hand, renderer, state, crops).light.ambient
    torch.testing.assert_close(
        match_light(hand, renderer, state, replace(crops, image=covered)).light.ambient, plain, atol=0, rtol=0.25
    )


@pytest.mark.parametrize(("color", "gain"), [(0.0, GAIN[0]), (9.0, GAIN[1])])
def test_an_incredible_photo_is_believed_a_little(
    hand: HandModel, scene: tuple[LitHands, Crops, Renderer], color: float, gain: float
) -> None:
    state, crops, renderer = scene
    matched = match_light(hand, renderer, state, replace(crops, image=torch.full_like(crops.image, color)))
    torch.testing.assert_close(matched.light.ambient, state.light.ambient * gain)


def test_a_hand_outside_its_crop_keeps_its_light(hand: HandModel, scene: tuple[LitHands, Crops, Renderer]) -> None:
    state, crops, renderer = scene
    away = replace(state, root_cam=torch.tensor([[5.0, 0.0, 0.5]]))
    matched = match_light(hand, renderer, away, crops).light
    assert isinstance(matched, Light)
    torch.testing.assert_close(matched.ambient, away.light.ambient)
