"""Skin and light of a photo are separated by the priors on both."""

from dataclasses import replace

import pytest
import torch

from hifihr_core.hands import HandModel
from hifihr_core.hands.skin_bank import SkinBank, draw_skin_bank, skin_bank_of
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.placed_hands import LitHands, default_light, draw_hands
from hifihr_core.prediction.look.light_prior import LightPrior, fit_light_prior, load_light_prior
from hifihr_core.prediction.look.match_light import match_light, pairs
from hifihr_core.prediction.look.tone_and_light import _agreeing
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer, self_shade
from hifihr_core.rendering.skylight import light_at

PX, PEOPLE = 64, 6


@pytest.fixture(scope="module")
def bank(hand: HandModel) -> SkinBank:
    return draw_skin_bank(hand, count=160)


@pytest.fixture(scope="module")
def renderer(hand: HandModel) -> Renderer:
    return Renderer(hand.faces, height=PX, width=PX)


@pytest.fixture(scope="module")
def scene(hand: HandModel, renderer: Renderer, bank: SkinBank) -> tuple[LitHands, Crops]:
    """Hands from dark to light, each in its own photo under a white light in front of a grey wall."""
    by_tone = bank.textures[bank.colors.mean(dim=(1, 2)).argsort()]
    textures = by_tone[torch.linspace(2, len(by_tone) - 3, PEOPLE).long()]
    parameters = replace(hand.mean_parameters(PEOPLE), texture=textures)
    root_cam = torch.tensor([[0.0, 0.0, 0.5]]).repeat(PEOPLE, 1)
    light = Light(
        torch.full((PEOPLE, 3), 0.6), torch.full((PEOPLE, 3), 0.4), torch.tensor([[0.0, -0.6, -0.8]]).repeat(PEOPLE, 1)
    )
    state = LitHands(parameters, root_cam, light)
    K = torch.tensor([[[170.0, 0.0, PX / 2], [0.0, 170.0, PX / 2], [0.0, 0.0, 1.0]]]).repeat(PEOPLE, 1, 1)
    shade = self_shade(hand(parameters).vertices + root_cam[:, None], hand.faces, light.direction)
    image = draw_hands(hand, renderer, state, K, torch.full((3,), 0.35), shade).rendered.image
    nothing = torch.zeros(PEOPLE, 21)
    return state, Crops(
        image, K, torch.eye(3).expand(PEOPLE, 3, 3), torch.zeros(PEOPLE, 21, 2), nothing, ("right",) * PEOPLE
    )


def unknown(state: LitHands) -> LitHands:
    parameters = replace(state.parameters, texture=torch.zeros_like(state.texture))
    return replace(state, parameters=parameters, light=default_light(state.root_cam))


def on_the_palm(light: Light) -> torch.Tensor:
    towards_camera = torch.tensor([0.0, 0.0, -1.0]).expand(len(light.ambient), 1, 3)
    return light_at(towards_camera, light)[:, 0]


def tones(hand: HandModel, texture: torch.Tensor) -> torch.Tensor:
    return skin_bank_of(hand, texture).colors.mean(dim=1)


def test_light_and_dark_people_are_told_apart(
    hand: HandModel, renderer: Renderer, bank: SkinBank, scene: tuple[LitHands, Crops]
) -> None:
    state, crops = scene
    matched = match_light(hand, unknown(state), crops, bank, load_light_prior())
    found, true = tones(hand, matched.texture), tones(hand, state.texture)
    assert torch.corrcoef(torch.stack((found[:, 1], true[:, 1])))[0, 1] > 0.9
    assert (found - true).abs().mean() < 0.7 * (bank.colors.mean(dim=(0, 1)) - true).abs().mean()
    shade = self_shade(hand(state.parameters).vertices + state.root_cam[:, None], hand.faces, matched.light.direction)
    drawn = draw_hands(hand, renderer, matched, crops.K, torch.full((3,), 0.35), shade).rendered
    assert (drawn.image - crops.image).abs().mean() < 0.035


def test_warm_light_does_not_darken_the_skin(
    hand: HandModel, renderer: Renderer, bank: SkinBank, scene: tuple[LitHands, Crops]
) -> None:
    state, crops = scene
    warm = replace(crops, image=crops.image * torch.tensor([1.1, 1.0, 0.85])[:, None, None])
    found = match_light(hand, unknown(state), warm, bank, load_light_prior())
    assert (tones(hand, found.texture) - tones(hand, state.texture)).abs().mean() < 0.08
    level = on_the_palm(found.light)
    assert (level[:, 0] > 1.02 * level[:, 2]).all()


def test_the_hands_of_one_person_share_a_skin(
    hand: HandModel, renderer: Renderer, bank: SkinBank, scene: tuple[LitHands, Crops]
) -> None:
    state, crops = scene
    twice = torch.tensor([0, 0])
    light = Light(*(value[twice] for value in (state.light.ambient, state.light.color, state.light.direction)))
    both = LitHands(
        type(state.parameters)(*(value[twice] for value in vars(state.parameters).values())),
        state.root_cam[twice],
        light,
    )
    image = crops.image[twice] * torch.tensor([1.0, 0.8])[:, None, None, None]
    pair = Crops(
        image, crops.K[twice], crops.T_crop_photo[twice], crops.keypoints_px[twice], crops.confidence[twice],
        ("left", "right"),
    )  # fmt: skip
    found = match_light(hand, unknown(both), pair, bank, load_light_prior())
    torch.testing.assert_close(found.texture[0], found.texture[1])
    level = on_the_palm(found.light).mean(dim=1)
    assert level[1] < 0.95 * level[0]


def test_hands_whose_skins_disagree_are_of_two_people() -> None:
    same = torch.zeros(3, dtype=torch.int64)
    sure = torch.tensor([[90.0, 0.0, 0.0], [80.0, 10.0, 0.0], [0.0, 0.0, 200.0]])
    assert _agreeing(sure, same).tolist() == [0, 0, 2]
    assert _agreeing(sure / 10, same).tolist() == [0, 0, 0]  # too little is seen to contradict
    assert _agreeing(sure, None).tolist() == [0, 1, 2]


def test_only_a_left_and_a_right_hand_alone_are_a_pair() -> None:
    assert pairs(["left", "right"]).tolist() == [0, 0]
    assert pairs(["right", "right"]).tolist() == [0, 1]
    assert pairs(["left", "right", "right"]).tolist() == [0, 1, 2]


def test_a_hand_outside_its_crop_keeps_its_look(
    hand: HandModel, renderer: Renderer, bank: SkinBank, scene: tuple[LitHands, Crops]
) -> None:
    state, crops = scene
    away = replace(state, root_cam=torch.tensor([[5.0, 0.0, 0.5]]).repeat(PEOPLE, 1))
    matched = match_light(hand, away, crops, bank, load_light_prior())
    torch.testing.assert_close(matched.light.ambient, away.light.ambient)
    torch.testing.assert_close(matched.texture, away.texture)


def test_a_prior_learns_what_the_surroundings_predict() -> None:
    random = torch.Generator().manual_seed(2)
    around = 0.5 * torch.randn(400, 3, generator=random)
    coefficients = 0.05 * torch.randn(400, 9, 3, generator=random)
    coefficients[:, 0] = (0.3 + 0.8 * around).exp()
    prior = fit_light_prior(coefficients, around)
    torch.testing.assert_close(prior.brightness(around), coefficients[:, 0], atol=1e-3, rtol=1e-3)
    assert prior.mean[[0, 9, 18]].tolist() == pytest.approx([1, 1, 1], abs=1e-3)
    unseen = prior.brightness(torch.full((1, 3), torch.nan))
    assert isinstance(prior, LightPrior)
    assert unseen.isfinite().all()


def test_the_prior_is_a_light_from_above_and_nearly_grey() -> None:
    prior = load_light_prior()
    coefficients = prior.mean.reshape(3, 9).T[None]
    light = Light(coefficients[:, 0], torch.zeros(1, 3), torch.tensor([[0.0, -1.0, 0.0]]), coefficients[:, 1:])
    up, down = light_at(torch.tensor([[[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]]), light)[0]
    assert up.mean() > down.mean()
    assert (up / up.mean() - 1).abs().max() < 0.1
