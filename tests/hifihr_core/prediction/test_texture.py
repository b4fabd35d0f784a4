import numpy as np
import torch

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


def test_the_photo_comes_back_where_it_is_seen() -> None:
    vertices, faces, uvs = _box()
    rows = torch.linspace(0.2, 0.8, 32)
    truth = torch.stack((rows[:, None].expand(32, 32), rows[None].expand(32, 32), torch.full((32, 32), 0.5)))[None]
    light = Light(torch.full((1, 3), 0.5), torch.full((1, 3), 0.4), torch.tensor([[0.0, 0.0, -1.0]]))
    renderer = Renderer(faces, height=SIZE, width=SIZE)
    rendered = renderer(vertices[None], K[None], Appearance(truth, uvs, faces), light)
    image = (rendered.image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    model = Appearance(torch.full_like(truth, 0.25), uvs, faces)
    completed = complete_texture(image, vertices, faces, K, model, light, texture_px=32)
    seen = completed.seen > 0.99
    assert seen[:, :16].float().mean() > 0.4
    assert not seen[:, 16:].any()
    # The light's highlight is part of the photo and not of the division, so the match is close, not exact.
    assert (completed.albedo - truth[0]).abs()[:, seen].max() < 0.1
    tone = completed.albedo[:, :, 24].mean(dim=1)
    torch.testing.assert_close(tone, truth[0][:, :, :16].mean(dim=(1, 2)), atol=0.06, rtol=0)


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
