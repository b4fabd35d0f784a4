"""A bank of human skins: their coefficients, and the colour of every vertex."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.hands.contract import HandModel
from hifihr_core.lookup import needed


@dataclass(frozen=True)
class SkinBank:
    """M skins of a hand model: texture coefficients, and the albedo of each vertex."""

    textures: Float[Tensor, "M X"]
    colors: Float[Tensor, "M V 3"]


def draw_skin_bank(hand: HandModel, *, count: int = 360, seed: int = 0) -> SkinBank:
    """Return a bank of `count` skins that the model samples with `seed`, on the device of the model."""
    drawn = hand.sample_parameters(count, generator=torch.Generator().manual_seed(seed)).texture
    return skin_bank_of(hand, needed(drawn, "a hand with a texture").to(hand.faces.device))


@torch.no_grad()
def skin_bank_of(hand: HandModel, textures: Float[Tensor, "M X"]) -> SkinBank:
    """Return a bank of the skins with these texture coefficients."""
    return SkinBank(textures, hand.vertex_colors(textures))
