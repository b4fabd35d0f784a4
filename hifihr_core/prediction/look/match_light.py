"""Infer the skin and light of a photo's hands jointly from their crops."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hifihr_core.hands import HandModel
from hifihr_core.hands.skin_bank import SkinBank
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.lookup import needed
from hifihr_core.photos.masks import segment_quickly
from hifihr_core.placed_hands import LitHands
from hifihr_core.prediction.look.light_prior import LightPrior
from hifihr_core.prediction.look.skin_evidence import look_at_skin
from hifihr_core.prediction.look.tone_and_light import infer_tone_and_light
from hifihr_core.records import Side
from hifihr_core.rendering import rasterize

#: If a hand covers less than this fraction of its crop, its skin is not inferred.
_LEAST_SHARE = 0.002


@torch.no_grad()
def match_light(
    hand: HandModel,
    state: LitHands,
    crops: Crops,
    bank: SkinBank,
    prior: LightPrior,
    *,
    mask: Bool[Tensor, "B H W"] | None = None,
    person: Int[Tensor, " B"] | None = None,
    certain: bool = False,
) -> LitHands:
    """Return the hands with the skin and light that best explain their crops; see `infer_tone_and_light`.

    `mask` marks the pixels of skin; without it, they are found by segmentation. Hands with the same number in `person`
    (by default from `pairs`) belong to one person and get the same skin, unless their skins clearly differ; with
    `certain` they get the same skin in any case. A hand that is hardly visible keeps its skin and light.
    """
    verts_cam = hand(state.parameters.untextured).vertices + state.root_cam[:, None]
    height, width = crops.image.shape[-2:]
    seen = rasterize(verts_cam, hand.faces, crops.K, height=height, width=width)
    covered = seen.face >= 0
    shown = covered.flatten(1).float().mean(dim=1) > _LEAST_SHARE
    if not bool(shown.any()):
        return state
    found = segment_quickly(crops.image, covered) if mask is None else mask
    evidence = look_at_skin(crops.image, verts_cam, hand.faces, crops.K, mask=found & crops.inside, seen=seen)
    result = infer_tone_and_light(
        evidence, bank, prior, person=pairs(crops.sides) if person is None else person, certain=certain
    )
    texture = _where(shown, result.texture, state.texture)
    found_sky = needed(result.light.sky, "the sky of an inferred light")
    before = replace(state.light, sky=torch.zeros_like(found_sky) if state.light.sky is None else state.light.sky)
    light = replace(before, **{n: _where(shown, v, getattr(before, n)) for n, v in vars(result.light).items()})
    return replace(state, parameters=replace(state.parameters, texture=texture), light=light)


def pairs(sides: Sequence[Side]) -> Int[Tensor, " B"]:
    """Return the number of a person for every hand.

    If there are exactly two hands, a left and a right one, they belong to the same person; otherwise all hands belong
    to different people.
    """
    together = sorted(sides) == ["left", "right"]
    return torch.zeros(2, dtype=torch.int64) if together else torch.arange(len(sides))


def _where(first: Bool[Tensor, " B"], a: Float[Tensor, "B *N"], b: Float[Tensor, "B *N"]) -> Float[Tensor, "B *N"]:
    return torch.where(first.reshape(-1, *[1] * (a.ndim - 1)), a, b)
