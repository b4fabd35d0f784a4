import numpy as np
import pytest
import torch

from hifihr_core.records import Appearance
from hifihr_core.rendering import Renderer
from hifihr_core.rendering.turntable import overlay, sheet, turntable


def test_overlay_shows_the_photo_around_the_mesh(make_scene):
    scene = make_scene(dtype=torch.float32)
    out = Renderer(scene.faces, height=40, width=40)(scene.verts, scene.K, scene.appearance, scene.light)
    photo = torch.rand((2, 3, 40, 40), generator=torch.Generator().manual_seed(0))
    picture = overlay(out, photo)
    free = (out.silhouette == 0).numpy()
    plain = (photo * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(picture[free], plain[free])
    assert not np.array_equal(picture[~free], plain[~free])
    assert np.array_equal(overlay(out, photo, opacity=0.0), plain)


def test_turntable_comes_around(make_scene):
    scene = make_scene(dtype=torch.float32, batch=1)
    pictures = turntable(scene.verts[0], scene.faces, scene.appearance, views=4, image_px=48)
    assert pictures.shape == (4, 48, 48, 3)
    assert (pictures[:, 0] == 255).all()
    assert all((picture < 200).any(axis=-1).mean() > 0.1 for picture in pictures)
    # A quarter turn brings the right side (+x) to where the back (+z) was.
    colours = Appearance((scene.verts[:, :, :1] > scene.verts[:, :, :1].mean()).float() * torch.tensor([1.0, 0, 0]))
    sides = turntable(scene.verts[0], scene.faces, colours, views=4, image_px=48)
    red = [(side[..., 0].astype(int) - side[..., 1] > 60).sum() for side in sides]
    assert red[3] > 3 * max(red[1], 1) or red[1] > 3 * max(red[3], 1)


def test_sheet():
    pictures = [np.full((2, 3, 3), i, dtype=np.uint8) for i in range(3)]
    out = sheet(pictures, columns=2)
    assert out.shape == (4, 6, 3)
    assert out[0, 3, 0] == 1
    assert (out[2:, 3:] == 255).all()
    with pytest.raises(ValueError, match="0 pictures"):
        sheet([], columns=2)
