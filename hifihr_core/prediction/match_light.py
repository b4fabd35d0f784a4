"""The brightness and colour of a hand's light, matched to its photo."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.hands import HandModel
from hifihr_core.placed_hands import LitHands, draw_hands
from hifihr_core.prediction.crops import Crops
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer

#: The photo's colour over the rendered one is believed between these, per channel.
GAIN = (0.4, 2.5)

#: Fewer pixels of a hand than this tell nothing.
_LEAST_PIXELS = 50


def match_light(hand: HandModel, renderer: Renderer, state: LitHands, crops: Crops) -> LitHands:
    """Return the hands under a light that gives them the photo's median colour where they stand.

    A network that has only seen rendered skins misjudges a photo's exposure and white balance before anything else.
    The median does not mind that some of those pixels show something else. `renderer` has the size of the crops.
    """
    drawn = draw_hands(hand, renderer, state, crops.K).rendered
    inside = drawn.silhouette > 0.99
    wanted, found = (_median(picture, inside) for picture in (crops.image, drawn.image))
    gain = (wanted / found.clamp(min=1e-3)).clamp(*GAIN)
    gain = torch.where(inside.sum(dim=(1, 2))[:, None] >= _LEAST_PIXELS, gain, torch.ones_like(gain))
    light = state.light
    return replace(state, light=Light(light.ambient * gain, light.color * gain, light.direction))


def _median(image: Float[Tensor, "B 3 H W"], inside: Bool[Tensor, "B H W"]) -> Float[Tensor, "B 3"]:
    """Return the median of every channel inside; NaN where nothing is."""
    return torch.where(inside[:, None], image, torch.nan).flatten(2).nanmedian(dim=2).values
