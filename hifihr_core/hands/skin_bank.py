"""Skins that people have, as a table to choose from: coefficients, and the colours they give every vertex."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hifihr_core.hands.contract import HandModel, HandParameters

_AT_ONCE = 8


@dataclass(frozen=True)
class SkinBank:
    """M skins of a hand model: texture coefficients, and the albedo of each vertex."""

    textures: Float[Tensor, "M X"]
    colors: Float[Tensor, "M V 3"]


def draw_skin_bank(hand: HandModel, *, count: int = 360, seed: int = 0) -> SkinBank:
    """Return skins as `sample_parameters` draws them, on the device of the model."""
    drawn = hand.sample_parameters(count, generator=torch.Generator().manual_seed(seed)).texture
    assert drawn is not None
    return skin_bank_of(hand, drawn.to(hand.faces.device))


@torch.no_grad()
def skin_bank_of(hand: HandModel, textures: Float[Tensor, "M X"]) -> SkinBank:
    """Return a bank of the given skins."""
    parts = [_vertex_colors(hand, part) for part in textures.split(_AT_ONCE)]
    return SkinBank(textures, torch.cat(parts))


def _vertex_colors(hand: HandModel, textures: Float[Tensor, "M X"]) -> Float[Tensor, "M V 3"]:
    """Return the albedo at vertices; a vertex on a seam of the chart takes one of its places there."""
    mean = hand.mean_parameters(len(textures))
    look = hand(HandParameters(mean.global_orient, mean.pose, mean.shape, textures)).appearance
    assert look is not None
    if look.uvs is None or look.faces_uvs is None:
        return look.albedo
    at = look.uvs.new_zeros(hand.num_vertices, 2)
    at[hand.faces.reshape(-1).long()] = look.uvs[look.faces_uvs.reshape(-1).long()]
    grid = torch.stack((at[:, 0], 1 - at[:, 1]), dim=-1) * 2 - 1
    picked = functional.grid_sample(
        look.albedo, grid[None, None].expand(len(textures), 1, -1, 2), padding_mode="border", align_corners=False
    )
    return picked[:, :, 0].mT
