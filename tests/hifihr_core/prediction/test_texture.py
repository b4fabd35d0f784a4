from collections.abc import Callable

import numpy as np
import torch

from hifihr_core.hands import HandModel
from hifihr_core.placed_hands import mean_texture
from hifihr_core.prediction.texture import complete_texture
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Renderer

SIZE = 64
K = torch.tensor([[160.0, 0.0, 32.0], [0.0, 160.0, 32.0], [0.0, 0.0, 1.0]])


def _box() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a plate before the camera and one behind it that faces away, each with half of the chart."""
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


def test_the_photo_comes_back_where_it_is_seen() -> None:
    vertices, faces, uvs = _box()
    truth = _skin_map()
    light = Light(torch.full((1, 3), 0.5), torch.full((1, 3), 0.4), torch.tensor([[0.0, 0.0, -1.0]]))
    model = Appearance(torch.tensor([0.35, 0.25, 0.2]).view(1, 3, 1, 1).expand(1, 3, 32, 32), uvs, faces)
    completed = complete_texture(_photo_of(truth, light), vertices, faces, K, model, light, texture_px=32)
    seen = completed.seen > 0.99
    assert seen[:, :16].float().mean() > 0.4
    assert not seen[:, 16:].any()
    # The light's highlight is part of the photo and not of the division, so the match is close, not exact.
    assert (completed.albedo - truth[0]).abs()[:, seen].max() < 0.1
    tone = completed.albedo[:, :, 24].mean(dim=1)
    torch.testing.assert_close(tone, truth[0][:, :, :16].mean(dim=(1, 2)), atol=0.06, rtol=0)


def test_what_is_no_skin_stays_out() -> None:
    vertices, faces, uvs = _box()
    truth = _skin_map()
    truth[:, :, 4:12, 3:7] = torch.tensor([0.02, 0.02, 0.03]).view(1, 3, 1, 1)  # hair before the hand
    truth[:, :, 20:28, 3:7] = torch.tensor([0.1, 0.3, 0.9]).view(1, 3, 1, 1)  # a sleeve
    light = Light(torch.full((1, 3), 0.5), torch.full((1, 3), 0.4), torch.tensor([[0.0, 0.0, -1.0]]))
    model = Appearance(torch.tensor([0.35, 0.25, 0.2]).view(1, 3, 1, 1).expand(1, 3, 32, 32), uvs, faces)
    completed = complete_texture(_photo_of(truth, light), vertices, faces, K, model, light, texture_px=32)
    for rows in (slice(5, 11), slice(21, 27)):
        assert (completed.seen[rows, 4:6] < 0.05).all()
        filled = completed.albedo[:, rows, 4:6].mean(dim=(1, 2))
        torch.testing.assert_close(filled, torch.tensor([0.7, 0.5, 0.4]), atol=0.08, rtol=0)


def _psnr_db(a: torch.Tensor, b: torch.Tensor, where: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square()[:, where].mean()))


def test_completion_raises_the_psnr_of_what_is_seen(hand: HandModel, shoot: Callable) -> None:
    shot = shoot(1, zoom=3)
    state = shot.state
    posed = hand(state.parameters)
    mean = hand(mean_texture(hand, state.parameters)).appearance
    completed = complete_texture(
        shot.image,
        (posed.vertices + state.root_cam[:, None])[0],
        hand.faces,
        torch.from_numpy(shot.K).float(),
        mean,
        state.light,
        texture_px=64,
    )
    seen = completed.seen > 0.5
    assert seen.float().mean() > 0.03
    truth = posed.appearance.albedo[0]
    assert _psnr_db(completed.albedo, truth, seen) > _psnr_db(mean.albedo[0], truth, seen) + 3


def test_pixels_outside_the_mask_do_not_enter() -> None:
    vertices, faces, uvs = _box()
    light = Light(torch.ones(1, 3), torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -1.0]]))
    model = Appearance(torch.full((1, 3, 16, 16), 0.3), uvs, faces)
    image = np.full((SIZE, SIZE, 3), 200, dtype=np.uint8)
    nothing = complete_texture(
        image, vertices, faces, K, model, light, mask=np.zeros((SIZE, SIZE), dtype=bool), texture_px=16
    )
    assert (nothing.seen == 0).all()
    torch.testing.assert_close(nothing.albedo, torch.full((3, 16, 16), 0.3))
