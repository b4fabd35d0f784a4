"""Light from environment maps, and pictures whose light, background and camera agree."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hifihr_core.errors import DataError
from hifihr_core.hands import HandModel
from hifihr_core.records import Light
from hifihr_core.rendering.skylight import light_at
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.environments import draw_environments, light_of, make_environments, map_directions
from hifihr_core.synthesis.exposure import expose_scene
from hifihr_core.synthesis.generator import Synthesizer
from hifihr_core.synthesis.options import SynthOptions

UP = torch.tensor([0.0, -1.0, 0.0])


def dice(batch: int = 4, seed: int = 0) -> Dice:
    return Dice(batch, seed, torch.device("cpu"))


def sphere_brightness(light: Light) -> torch.Tensor:
    points, angles = map_directions()
    level = light_at(points.expand(len(light.ambient), -1, -1), light).mean(dim=2)
    return (level * angles).sum(dim=1) / angles.sum()


def test_the_maps_are_reproducible_and_lit_from_above() -> None:
    bank = make_environments(count=24, seed=4)
    assert torch.equal(bank, make_environments(count=24, seed=4))
    assert not torch.equal(bank, make_environments(count=24, seed=5))
    assert (bank[:, :8].mean(dim=(1, 2, 3)) > bank[:, 8:].mean(dim=(1, 2, 3))).float().mean() > 0.8


def test_a_white_sphere_has_a_mean_brightness_of_one() -> None:
    light = draw_environments(make_environments(count=12, seed=1), dice(12))
    torch.testing.assert_close(sphere_brightness(light), torch.ones(12), atol=0.02, rtol=0)


def test_a_sun_becomes_the_directional_light() -> None:
    points, angles = map_directions()
    towards = torch.nn.functional.normalize(torch.tensor([0.5, -0.7, -0.4]), dim=0)
    radiance = 0.5 + 60 * (points @ towards > 0.97).float()[:, None].expand(-1, 3)
    light = light_of(radiance[None], points[None], angles)
    assert light.direction[0] @ towards > 0.98
    assert light.color.mean() > light.ambient.mean()
    even = light_of(torch.ones(1, 512, 3), points[None], angles)
    assert even.color.abs().max() == 0
    torch.testing.assert_close(even.ambient, torch.ones(1, 3))


def test_maps_of_a_folder_are_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable environment map"):
        make_environments(count=3, seed=0, folder=tmp_path)
    picture = np.full((32, 64, 3), 0.2, np.float32)
    picture[:16] = (4.0, 2.0, 1.0)  # a blue upper half, as OpenCV orders colours
    assert cv2.imwrite(str(tmp_path / "sky.hdr"), picture)
    (tmp_path / "notes.txt").write_text("no map")
    bank = make_environments(count=3, seed=0, folder=tmp_path)
    assert bank.shape == (1, 16, 32, 3)
    torch.testing.assert_close(bank[0, 0, 0], torch.tensor([1.0, 2.0, 4.0]), atol=0.05, rtol=0.02)


def test_the_camera_meters_and_balances() -> None:
    count = 200
    light = Light(
        torch.tensor([[1.3, 1.0, 0.6]]).repeat(count, 1),
        torch.zeros(count, 3),
        UP.expand(count, 3),
        torch.zeros(count, 8, 3),
    )
    skin = torch.full((count, 3), 0.5)
    dark, bright = (expose_scene(light, torch.full((count, 3, 4, 4), grey), dice(count), skin) for grey in (0.15, 0.6))
    assert dark[0].ambient.mean() > 1.3 * bright[0].ambient.mean()  # before a white wall a hand gets less light
    assert 0.2 < float(bright[1].mean()) < 0.7
    tint = (bright[0].ambient[:, 0] / bright[0].ambient[:, 2]).mean()
    assert 1.0 < tint < 1.3 / 0.6  # some of the warm light is left


def test_hands_under_environment_maps(hand: HandModel) -> None:
    options = SynthOptions(image_px=64, light="environment", backgrounds=4)
    batch = Synthesizer(hand, seed=2, options=options).make(0, 3)
    again = Synthesizer(hand, seed=2, options=options).make(0, 3)
    assert torch.equal(batch.image, again.image)
    assert batch.labels["light"].shape == (3, 9)
    assert batch.labels["sky"].abs().amax(dim=(1, 2)).min() > 0
    assert batch.labels["mask"].any()
    lamp = Synthesizer(hand, seed=2, options=SynthOptions(image_px=64, backgrounds=4)).make(0, 3)
    torch.testing.assert_close(batch.labels["pose"], lamp.labels["pose"])
    assert not torch.equal(batch.image, lamp.image)
    assert (lamp.labels["sky"] == 0).all()


def test_several_pictures_show_one_person(hand: HandModel) -> None:
    options = SynthOptions(image_px=48, backgrounds=4, pictures_each=2)
    labels = Synthesizer(hand, seed=2, options=options).make(0, 4).labels
    for name in ("shape", "texture"):
        assert torch.equal(labels[name][0], labels[name][1])
        assert not torch.equal(labels[name][1], labels[name][2])
    assert not torch.equal(labels["pose"][0], labels["pose"][1])
