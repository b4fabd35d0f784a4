from collections.abc import Callable

import numpy as np
import torch

from hifihr_core.hands import HandModel
from hifihr_core.prediction.look.texture import CompletedTexture, View, complete_texture
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Material, Renderer, self_shade

SIZE = 64
K = torch.tensor([[160.0, 0.0, 32.0], [0.0, 160.0, 32.0], [0.0, 0.0, 1.0]])


def _box() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a plate in front of the camera and one behind that plate facing away, each with half of the chart."""
    corners = torch.tensor([[-0.1, -0.1, 0.6], [0.1, -0.1, 0.6], [-0.1, 0.1, 0.6], [0.1, 0.1, 0.6]])
    vertices = torch.cat((corners, corners + torch.tensor([0.0, 0.0, 0.05])))
    faces = torch.tensor([[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6]])
    uvs = torch.tensor([[0.0, 1], [0.5, 1], [0, 0], [0.5, 0], [0.5, 1], [1, 1], [0.5, 0], [1, 0]])
    return vertices, faces, uvs


def _photo_of(truth: torch.Tensor, light: Light) -> np.ndarray:
    vertices, faces, uvs = _box()
    renderer = Renderer(faces, height=SIZE, width=SIZE)
    rendered = renderer(vertices[None], K[None], Appearance(truth, uvs, faces), light)
    return (rendered.image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()


def _skin_map() -> torch.Tensor:
    """Return a map that varies as skin does: more in lightness than in hue."""
    rows = torch.linspace(0.8, 1.2, 32)
    lightness = rows[:, None] * (2 - rows)[None]
    return torch.tensor([0.7, 0.5, 0.4]).view(1, 3, 1, 1) * lightness


def _light(ambient: float = 0.5, lamp: float = 0.4) -> Light:
    return Light(torch.full((1, 3), ambient), torch.full((1, 3), lamp), torch.tensor([[0.0, 0.0, -1.0]]))


def _flat(color: tuple[float, float, float]) -> Appearance:
    _, faces, uvs = _box()
    return Appearance(torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 32, 32), uvs, faces)


def _complete(truth: torch.Tensor, model: Appearance, light: Light, count: int = 1) -> CompletedTexture:
    vertices, faces, _ = _box()
    view = View(_photo_of(truth, light), vertices, K, light)
    return complete_texture([view] * count, faces, model, texture_px=32)


def test_the_detail_of_the_photo_is_added_where_it_is_seen() -> None:
    truth = _skin_map()
    truth[:, :, 15:18, 7:9] *= 0.75  # a mole
    completed = _complete(truth, _flat((0.7, 0.5, 0.4)), _light())
    assert (completed.seen[:, :16] > 0.99).float().mean() > 0.4
    assert not completed.seen[:, 16:].any()
    mole, around = completed.albedo[:, 15:18, 7:9].mean(), completed.albedo[:, 15:18, 4:6].mean()
    assert mole < 0.88 * around
    unseen = completed.albedo[:, :, 18:31]
    torch.testing.assert_close(unseen, torch.tensor([0.7, 0.5, 0.4])[:, None, None].expand_as(unseen))


def test_the_fraction_of_texture_from_the_photo_is_reported() -> None:
    truth, vertices = _skin_map(), _box()[0]
    seen = _complete(truth, _flat((0.7, 0.5, 0.4)), _light()).seen_share
    assert 0.2 < seen < 0.5  # one of two plates, less its rim
    none = complete_texture([], _box()[1], _flat((0.7, 0.5, 0.4)), texture_px=32)
    assert none.seen_share == 0
    assert vertices.shape[0] == 8


def test_pixels_that_are_not_skin_are_ignored() -> None:
    truth = _skin_map()
    truth[:, :, 4:12, 3:7] = torch.tensor([0.02, 0.02, 0.03]).view(1, 3, 1, 1)  # hair before the hand
    truth[:, :, 20:28, 3:7] = torch.tensor([0.1, 0.3, 0.9]).view(1, 3, 1, 1)  # a sleeve
    truth[:, :, 12:20, 10:14] = torch.tensor([0.95, 0.95, 0.95]).view(1, 3, 1, 1)  # paper, or a highlight
    completed = _complete(truth, _flat((0.7, 0.5, 0.4)), _light())
    for rows, columns in ((slice(5, 11), slice(4, 6)), (slice(21, 27), slice(4, 6)), (slice(14, 18), slice(11, 13))):
        assert (completed.seen[rows, columns] < 0.05).all()
        filled = completed.albedo[:, rows, columns].mean(dim=(1, 2))
        torch.testing.assert_close(filled, torch.tensor([0.7, 0.5, 0.4]), atol=0.02, rtol=0)


def test_a_colour_that_light_alone_explains_is_not_painted_on() -> None:
    truth = torch.tensor([0.7, 0.5, 0.4]).view(1, 3, 1, 1).expand(1, 3, 32, 32) * torch.ones(1, 1, 32, 32)
    photo_light = Light(torch.full((1, 3), 0.45), torch.full((1, 3), 0.4), torch.tensor([[0.0, 0.0, -1.0]]))
    vertices, faces, _ = _box()
    view = View(_photo_of(truth, photo_light), vertices, K, _light())  # the light is taken for brighter than it was
    completed = complete_texture([view], faces, _flat((0.7, 0.5, 0.4)), texture_px=32)
    middle = completed.albedo[:, 12:20, 5:11].mean(dim=(1, 2))
    assert ((middle / torch.tensor([0.7, 0.5, 0.4])) > 0.95).all()


def _psnr_db(a: torch.Tensor, b: torch.Tensor, where: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square()[:, where].mean()))


def test_completion_raises_the_psnr_of_what_is_seen(hand: HandModel, shoot: Callable) -> None:
    shot = shoot(1, zoom=6)
    state = shot.state
    posed = hand(state.parameters)
    assert posed.appearance is not None
    truth = posed.appearance.albedo[0].clone()
    rows = torch.arange(truth.shape[-1])
    spots = 1 - 0.3 * (((rows[:, None] // 3) % 3 == 0) & ((rows[None] // 3) % 3 == 0))
    look = Appearance((truth * spots)[None], posed.appearance.uvs, posed.appearance.faces_uvs)
    size = shot.image.shape[0]
    renderer = Renderer(hand.faces, height=size, width=size, material=Material())
    verts_cam, camera = posed.vertices + state.root_cam[:, None], torch.from_numpy(shot.K).float()
    shade = self_shade(verts_cam, hand.faces, state.light.direction)
    image = renderer(verts_cam, camera[None], look, state.light, shade=shade).image[0].clamp(0, 1)
    photo = (image.permute(1, 2, 0) * 255).round().byte().numpy()
    view = View(photo, verts_cam[0], camera, state.light)
    completed = complete_texture([view], hand.faces, posed.appearance, texture_px=truth.shape[-1])
    where = completed.seen > 0.9
    assert where.float().mean() > 0.008
    assert _psnr_db(completed.albedo, look.albedo[0], where) > _psnr_db(truth, look.albedo[0], where) + 1


def test_pixels_outside_the_mask_do_not_enter() -> None:
    vertices, faces, _ = _box()
    image = np.full((SIZE, SIZE, 3), 200, dtype=np.uint8)
    view = View(image, vertices, K, _light(1.0, 0.0), np.zeros((SIZE, SIZE), dtype=bool))
    nothing = complete_texture([view], faces, _flat((0.3, 0.3, 0.3)), texture_px=16)
    assert (nothing.seen == 0).all()
    torch.testing.assert_close(nothing.albedo, torch.full((3, 16, 16), 0.3))
