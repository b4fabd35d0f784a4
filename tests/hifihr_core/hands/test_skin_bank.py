"""A bank of skins: coefficients, and the colour of every vertex."""

from dataclasses import replace

import torch

from hifihr_core.geometry.cameras import K_from_focal
from hifihr_core.hands import HandModel
from hifihr_core.hands.skin_bank import draw_skin_bank, skin_bank_of
from hifihr_core.records import Appearance
from hifihr_core.rendering import interpolate, rasterize, sample_texture


def test_the_bank_is_reproducible_and_as_varied_as_people(hand: HandModel) -> None:
    bank = draw_skin_bank(hand, count=40)
    torch.testing.assert_close(bank.textures, draw_skin_bank(hand, count=40).textures)
    assert bank.colors.shape == (40, hand.num_vertices, 3)
    tones = bank.colors.mean(dim=1)
    assert (tones.std(dim=0) > 0.08).all()
    assert (tones[:, 0] > tones[:, 2]).all()  # skin is redder than blue


def test_colours_at_vertices_are_those_of_the_map(hand: HandModel) -> None:
    bank = draw_skin_bank(hand, count=3)
    mean = hand.mean_parameters(3)
    posed = hand(replace(mean, texture=bank.textures))
    look = posed.appearance
    assert isinstance(look, Appearance)
    verts = posed.vertices + torch.tensor([0.0, 0.0, 0.5])
    K = K_from_focal(300.0, width=96, height=96).expand(3, 3, 3)
    seen = rasterize(verts, hand.faces, K, height=96, width=96)
    uv = interpolate(look.uvs, seen, look.faces_uvs)
    exact = sample_texture(look.albedo, uv, seen)
    rough = interpolate(bank.colors, seen, hand.faces)
    assert (exact - rough)[seen.face >= 0].abs().mean() < 0.03
    torch.testing.assert_close(skin_bank_of(hand, bank.textures[:1]).colors, bank.colors[:1])


def test_colours_at_seams_do_not_depend_on_threads(hand: HandModel) -> None:
    size = hand.texture_px
    maps = hand.skin_basis.reshape(-1, 3, size, size)
    threads, sampled = torch.get_num_threads(), []
    try:
        for count in (1, 2, 4, 4):
            torch.set_num_threads(count)
            sampled.append(hand.sample_at_vertices(maps))
    finally:
        torch.set_num_threads(threads)
    for other in sampled[1:]:
        torch.testing.assert_close(other, sampled[0], atol=0, rtol=0)
