import math

import pytest
import torch
from torch.nn import functional

from hifihr_core.records import Light
from hifihr_core.rendering.skylight import (
    as_lamp_and_sky,
    as_sky,
    light_at,
    sky_basis,
    sky_from_radiance,
    turn_light,
    with_sky,
)

F64 = torch.float64


def sphere(count=20_000):
    """Points spread evenly over the sphere (a spiral), and the solid angle of each."""
    step = torch.arange(count, dtype=F64) + 0.5
    z, turn = 1 - 2 * step / count, step * math.pi * (1 + math.sqrt(5))
    ring = (1 - z * z).sqrt()
    points = torch.stack((ring * turn.cos(), ring * turn.sin(), z), dim=-1)
    return points, torch.full((count,), 4 * math.pi / count, dtype=F64)


def test_the_basis_is_orthonormal_over_the_sphere():
    points, _ = sphere()
    basis = torch.cat((torch.ones(len(points), 1, dtype=F64), sky_basis(points)), dim=1)
    assert torch.allclose(basis.mT @ basis / len(points), torch.eye(9, dtype=F64), atol=1e-3)


def test_a_directional_light_turns_into_its_lobe():
    points, _ = sphere(2_000)
    direction = functional.normalize(torch.tensor([[0.3, -0.5, -0.8]], dtype=F64), dim=1)
    light = Light(torch.full((1, 3), 0.2, dtype=F64), torch.tensor([[1.0, 0.5, 0.1]], dtype=F64), direction)
    exact, soft = light_at(points[None], light), light_at(points[None], as_sky(light))
    assert ((exact - soft).abs() <= 0.095 * light.color).all()
    assert torch.allclose(exact.mean(dim=1), soft.mean(dim=1), atol=1e-3)


def test_an_even_sky_is_only_ambient():
    points, angles = sphere()
    light = sky_from_radiance(torch.ones((1, len(points), 3), dtype=F64), points, angles)
    assert torch.allclose(light.ambient, torch.ones(1, 3, dtype=F64))
    assert light.sky is not None
    assert light.sky.abs().max() < 1e-3


def test_the_sky_of_a_radiance_is_its_cosine_integral():
    points, angles = sphere()
    radiance = (1 + points[:, 1:2] * torch.tensor([0.5, -0.5, 0.2], dtype=F64)).square()[None]  # of second order
    light = sky_from_radiance(radiance, points, angles)
    normals = functional.normalize(torch.tensor([[1.0, 0, 0], [0, -1, 0], [0.5, 0.5, -1]], dtype=F64), dim=1)
    weight = (normals @ points.mT).clamp_min(0) * angles / math.pi
    assert torch.allclose(light_at(normals[None], light), weight @ radiance, atol=2e-3)


@pytest.mark.parametrize("keep", [True, False])
def test_a_sky_without_coefficients_changes_nothing(keep):
    points, _ = sphere(50)
    light = Light(*(torch.rand(1, 3, dtype=F64) for _ in range(3)), sky=torch.zeros(1, 8, 3, dtype=F64))
    plain = Light(light.ambient, light.color, light.direction) if keep else light
    assert torch.allclose(light_at(points[None], light), light_at(points[None], plain))


def random_light(seed=3):
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(shape, generator=random, dtype=F64)  # noqa: E731
    direction = functional.normalize(draw(2, 3) - 0.5, dim=1)
    return Light(0.5 + draw(2, 3), draw(2, 3), direction, 0.3 * (draw(2, 8, 3) - 0.5))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_light_shines_the_same_on_turned_surfaces(mirrored):
    points, _ = sphere(40)
    R, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=F64))
    R = R * R.det().sign()
    if mirrored:
        R = torch.diag(torch.tensor([-1.0, 1, 1], dtype=F64)) @ R
    light = random_light()
    turned = turn_light(light, R.expand(2, 3, 3))
    assert torch.allclose(
        light_at(points.expand(2, -1, -1), light), light_at((points @ R.mT).expand(2, -1, -1), turned), atol=1e-9
    )


def test_a_lamp_taken_out_of_a_sky_leaves_the_light_the_same():
    points, _ = sphere(500)
    light = with_sky(random_light())
    split = as_lamp_and_sky(light)
    assert (split.color >= light.color - 1e-12).all()
    added = (split.color - light.color)[:, None]
    before = light_at(points.expand(2, -1, -1), light)
    lamp = Light(torch.zeros_like(split.color), split.color - light.color, split.direction)
    rest = Light(split.ambient, light.color, light.direction, split.sky)
    after = light_at(points.expand(2, -1, -1), lamp) + light_at(points.expand(2, -1, -1), rest)
    assert ((before - after).abs() <= 0.095 * added + 1e-9).all()
