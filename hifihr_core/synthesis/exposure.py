"""Consistent exposure: hand and background are in the same light, and have the same exposure and white balance."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hifihr_core.records import Light
from hifihr_core.rendering.skylight import light_at
from hifihr_core.synthesis.dice import Dice

#: The mean brightness that a camera's metering aims at, and how completely it is reached (1: fully).
_TARGET, _METERING = (0.25, 0.55), (0.2, 1.0)
#: The weight of the hand in metering.
_HAND_SHARE = 0.35
#: The fraction of the light's colour that automatic white balance removes, and the standard deviation of its error.
_BALANCE, _BALANCE_ERROR = (0.0, 1.0), 0.025


def expose_scene(
    light: Light, backdrop: Float[Tensor, "B 3 H W"], dice: Dice, skin: Float[Tensor, "B 3"]
) -> tuple[Light, Float[Tensor, "B 3 H W"]]:
    """Return light and background after the simulated exposure and white balance of a camera.

    `backdrop` is the albedo of the background, which is lit like a wall, slightly brighter or darker than the hand. The
    exposure depends on the brightness of background and hand, whose mean albedo is `skin`; the white balance depends on
    the mean colour of the light. Both have random errors.
    """
    towards = light.direction.new_tensor([0.0, 0.0, -1.0])
    normals = functional.normalize(towards + 0.4 * dice.normal(3), dim=1)
    wall = light_at(normals[:, None], light)[:, 0].clamp_min(0.05) * (0.25 * dice.normal()).exp()[:, None]
    lit = backdrop * wall[..., None, None]
    overall = light.ambient + light.color / 4
    tint = overall / overall.mean(dim=1, keepdim=True)
    balance = tint.pow(-dice.uniform(*_BALANCE)[:, None]) * (_BALANCE_ERROR * dice.normal(3)).exp()
    shown = torch.lerp(lit.mean(dim=(2, 3)), skin * overall, _HAND_SHARE)
    metered = (shown * balance).mean(dim=1).clamp_min(0.01)
    gain = balance * (dice.log_uniform(*_TARGET) / metered).pow(dice.uniform(*_METERING))[:, None]
    return brighter(light, gain), lit * gain[..., None, None]


def brighter(light: Light, gain: Float[Tensor, "B 3"]) -> Light:
    """Return the light multiplied by a factor per channel."""
    sky = None if light.sky is None else light.sky * gain[:, None]
    return replace(light, ambient=light.ambient * gain, color=light.color * gain, sky=sky)
