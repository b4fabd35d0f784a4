"""Synthetic people with several pictures each and full ground truth, on which `look.py` scores looks."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hifihr_core.hands import HandModel
from hifihr_core.hands.contract import HandParameters
from hifihr_core.hands.skin_bank import SkinBank, skin_bank_of
from hifihr_core.placed_hands import LitHands, PosedHands, draw_hands, pose_hands
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Renderer, self_shade
from hifihr_core.rendering.skylight import turn_light
from hifihr_core.synthesis.backdrops import draw_backdrops, make_bank
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.environments import draw_environments, make_environments
from hifihr_core.synthesis.exposure import expose_scene
from hifihr_core.synthesis.options import SynthOptions
from hifihr_core.synthesis.scene import place_hand

PX = 224


@dataclass(frozen=True)
class Shots:
    """One picture of each person: the photo, its camera, and the true hands, light and look."""

    image: Tensor
    K: Tensor
    truth: LitHands

    def turned(self, angle_rad: float) -> "Shots":
        """Return the same hands and lights seen from another side, about the vertical axis through the root."""
        c, s = torch.tensor(angle_rad).cos(), torch.tensor(angle_rad).sin()
        zero, one = torch.zeros(()), torch.ones(())
        R = torch.stack((c, zero, s, zero, one, zero, -s, zero, c)).reshape(3, 3)
        light = turn_light(self.truth.light, R.expand(len(self.K), 3, 3))
        parameters = replace(self.truth.parameters, global_orient=_turned(R, self.truth.parameters.global_orient))
        return replace(self, truth=replace(self.truth, parameters=parameters, light=light))


class Studio:
    """Renders people and pictures; the same seed gives the same ones. Skins in `held_out` are not in `bank`."""

    def __init__(self, hand: HandModel, *, environments: Tensor | None = None, seed: int = 0) -> None:
        self.hand, self.seed = hand, seed
        self.renderer = Renderer(hand.faces, height=PX, width=PX)
        self.environments = make_environments(count=64, seed=5) if environments is None else environments
        self.backdrops = make_bank(image_px=PX, count=96, seed=3)
        drawn = hand.sample_parameters(720, generator=torch.Generator().manual_seed(17)).texture
        assert drawn is not None
        order = drawn[:, 0].argsort()
        self.held_out = drawn[order[1::2]]
        self.bank: SkinBank = skin_bank_of(hand, drawn[order[0::2]])

    def people(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the shapes and skins (coefficients) of people."""
        random = torch.Generator().manual_seed(self.seed)
        skins = self.held_out[
            torch.randperm(len(self.held_out), generator=random)[torch.arange(count) % len(self.held_out)]
        ]
        return torch.randn(count, self.hand.shape_dim, generator=random).clamp(-2, 2), skins

    @torch.no_grad()
    def shoot(self, shapes: Tensor, skins: Tensor, number: int, look: Appearance | None = None) -> Shots:
        """Return picture `number` of every person: another pose, view and light for each; `look` replaces the skin."""
        dice = Dice(len(shapes), 1000 * self.seed + number, torch.device("cpu"))
        drawn = self.hand.sample_parameters(len(shapes), generator=dice.generator)
        parameters = HandParameters(drawn.global_orient, drawn.pose, shapes, skins)
        posed = self.hand(parameters)
        root_cam, K = place_hand(posed.vertices, dice, SynthOptions(image_px=PX))
        behind = draw_backdrops(self.backdrops, (PX, PX), dice)
        skin = skin_bank_of(self.hand, skins).colors.mean(dim=1)
        light, behind = expose_scene(draw_environments(self.environments, dice), behind, dice, skin)
        truth = LitHands(parameters, root_cam, light)
        image = picture(self, truth, K, look or posed.appearance, background=behind)
        image = image + 0.02 * dice.normal(3, PX, PX)
        over = (image - 0.7).clamp(min=0)
        image = torch.where(image > 0.7, 0.7 + 0.3 * (1 - torch.exp(-over / 0.3)), image).clamp(0, 1)
        return Shots((image * 255).round() / 255, K, truth)


def picture(
    studio: Studio, hands: LitHands, K: Tensor, look: Appearance, *, background: Tensor | None = None
) -> Tensor:
    """Return hands rendered with a look, including self-shadows."""
    posed = posed_of(studio, hands, K)
    shade = self_shade(posed.verts_cam, studio.hand.faces, hands.light.direction)
    return studio.renderer(posed.verts_cam, K, look, hands.light, background, shade).image


def silhouette(studio: Studio, hands: LitHands, K: Tensor) -> Tensor:
    """Return where the hands are, as bool (B, H, W)."""
    return draw_hands(studio.hand, studio.renderer, hands, K).rendered.silhouette > 0.99


def posed_of(studio: Studio, hands: LitHands, K: Tensor) -> PosedHands:
    """Return the hands' surface."""
    return pose_hands(studio.hand, replace(hands, parameters=replace(hands.parameters)), K)


def with_marks(look: Appearance, seed: int) -> Appearance:
    """Return skins with moles and blotches that no statistical skin contains."""
    random = torch.Generator().manual_seed(seed)
    maps = look.albedo.clone()
    count, _, side, _ = maps.shape
    coarse = 0.05 * torch.randn(count, 1, side // 16, side // 16, generator=random)
    blotch = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").exp()
    rows = torch.arange(side).float()
    for b in range(count):
        for _ in range(60):
            v, u = torch.rand(2, generator=random) * side
            radius = 1.5 + 4 * torch.rand((), generator=random)
            spot = torch.exp(-((rows[:, None] - v).square() + (rows[None] - u).square()) / (2 * radius.square()))
            blotch[b, 0] = blotch[b, 0] * (1 - 0.45 * spot)
    return Appearance((maps * blotch).clamp(0, 1), look.uvs, look.faces_uvs)


def neutral_light(count: int) -> Light:
    """Return a white lamp from above the camera over a white sky."""
    direction = torch.nn.functional.normalize(torch.tensor([[-0.3, -0.6, -0.75]]), dim=1).repeat(count, 1)
    return Light(torch.full((count, 3), 0.55), torch.full((count, 3), 0.45), direction, torch.zeros(count, 8, 3))


def _turned(R: Tensor, orient: Tensor) -> Tensor:
    import roma

    return roma.rotmat_to_rotvec(R @ roma.rotvec_to_rotmat(orient))
