import pytest
import torch
from torch.nn import functional

from hifihr_core.records import Light
from hifihr_core.rendering import PAPER, SKIN, Fragments, Material, shade
from hifihr_core.rendering._reference import to_linear, to_srgb

F64 = torch.float64
MATERIALS = {
    "matte": Material(),
    "skin": SKIN,
    "paper": PAPER,
    "glossy": Material(0.9, 0.7, 0.6, 5.0, white_highlight=True),
    "phong": Material(specular=0.5, shininess=3.0, highlight="phong"),
}


def packed(light):
    return torch.stack([light.ambient, light.color, light.direction], dim=1)


def one_pixel(normal, toward, material, *, linear=False, albedo=0.5, backend="native"):
    """Shade the pixel in the centre of the image, seen along -z."""
    fragments = Fragments(torch.zeros(1, 1, 1, dtype=torch.int32), torch.ones(1, 1, 1, 3) / 3, torch.ones(1, 1, 1))
    light = Light(*(torch.tensor([x], dtype=F64) for x in ([0.2, 0.2, 0.2], [1.0, 0.5, 0.0], toward)))
    K = torch.tensor([[[100.0, 0, 0.5], [0, 100, 0.5], [0, 0, 1]]], dtype=F64)
    color = torch.full((1, 1, 1, 3), albedo, dtype=F64)
    normals = torch.tensor(normal, dtype=F64).reshape(1, 1, 1, 3)
    return shade(color, normals, fragments, K, light, material=material, linear_light=linear, backend=backend)[0, 0, 0]


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_lambert_by_hand(backend):
    lit = one_pixel([0.0, 0, -1], [0.6, 0, -0.8], Material(), backend=backend)
    assert torch.allclose(lit, 0.5 * (0.2 + 0.8 * torch.tensor([1.0, 0.5, 0.0], dtype=F64)))
    turned = one_pixel([0.0, 0, 1], [0.6, 0, -0.8], Material(specular=1.0), backend=backend)
    assert torch.allclose(turned, torch.full((3,), 0.1, dtype=F64))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_highlights_by_hand(backend):
    toward = [0.6, 0.0, -0.8]
    normal = functional.normalize(torch.tensor([0.3, 0.0, -0.9], dtype=F64), dim=0).tolist()  # half way: h = n
    for name in ("blinn_phong", "phong"):
        shiny = one_pixel(normal, toward, Material(0.0, 0.0, 0.5, 9.0, name), backend=backend)
        assert torch.allclose(shiny, 0.5 * torch.tensor([1.0, 0.5, 0.0], dtype=F64))
    white = one_pixel([0.0, 0, -1], toward, Material(0.0, 0.0, 0.5, 2.0, "phong", True), backend=backend)
    assert torch.allclose(white, torch.full((3,), 0.5 * 0.8**2, dtype=F64))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_linear_light_keeps_what_is_lit_by_white(backend):
    lit = one_pixel([0.0, 0, -1], [0.0, 0, -1], Material(ambient=0.0), linear=True, albedo=0.3, backend=backend)
    assert torch.allclose(lit[0], torch.tensor(0.3, dtype=F64))
    assert torch.allclose(lit[1], to_srgb(to_linear(torch.tensor(0.3, dtype=F64)) / 2))


def test_srgb_round_trip():
    values = torch.linspace(0, 1.2, 50, dtype=F64)
    assert torch.allclose(to_srgb(to_linear(values)), values, atol=1e-7)


@pytest.fixture
def surface(make_scene):
    def make(dtype=F64, size=9):
        scene = make_scene(dtype=dtype, size=size)
        generator = torch.Generator().manual_seed(3)
        normals = torch.randn((2, size, size, 3), generator=generator, dtype=dtype)
        normals = functional.normalize(normals - torch.tensor([0.0, 0, 1], dtype=dtype), dim=-1)
        albedo = torch.rand((2, size, size, 3), generator=generator, dtype=dtype)
        face = torch.randint(-1, 3, (2, size, size), generator=generator, dtype=torch.int32)
        return scene, albedo, normals, face

    return make


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("name", MATERIALS)
def test_twins(surface, native, assert_twins, dtype, linear, name):
    scene, albedo, normals, face = surface(dtype)
    assert_twins(
        lambda backend, a, n, light: backend.shade(a, n, face, scene.K, light, MATERIALS[name], linear),
        native, albedo, normals, packed(scene.light), tolerance=1e-9 if dtype == F64 else 1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["skin", "phong"])
def test_gradcheck(surface, native, name):
    scene, albedo, normals, face = surface(size=4)
    inputs = [x.requires_grad_() for x in (albedo, normals, packed(scene.light))]
    assert torch.autograd.gradcheck(
        lambda a, n, light: native.shade(a, n, face, scene.K, light, MATERIALS[name], True), inputs
    )


def with_sky(light, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([light, 0.2 * torch.randn((len(light), 8, 3), generator=generator, dtype=light.dtype)], dim=1)


def partly_hidden(face, dtype):
    return torch.rand((*face.shape, 2), generator=torch.Generator().manual_seed(6), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("name", ["matte", "skin", "glossy"])
def test_twins_under_a_sky(surface, native, assert_twins, dtype, hidden, name):
    scene, albedo, normals, face = surface(dtype)
    reach = partly_hidden(face, dtype) if hidden else None
    assert_twins(
        lambda backend, a, n, light: backend.shade(a, n, face, scene.K, light, MATERIALS[name], False, reach),
        native, albedo, normals, with_sky(packed(scene.light)), tolerance=1e-9 if dtype == F64 else 1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("linear", [False, True])
def test_gradcheck_under_a_sky(surface, native, linear):
    scene, albedo, normals, face = surface(size=4)
    reach = partly_hidden(face, F64)
    light = with_sky(packed(scene.light)) * 0.4 + 0.3  # bright enough that linear light stays above zero
    inputs = [x.detach().requires_grad_() for x in (albedo, normals, light)]
    assert torch.autograd.gradcheck(
        lambda a, n, light: native.shade(a, n, face, scene.K, light, MATERIALS["skin"], linear, reach), inputs
    )


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_surfaces_hidden_from_the_light_keep_the_sky_and_vice_versa(backend):
    fragments = Fragments(torch.zeros(1, 1, 1, dtype=torch.int32), torch.ones(1, 1, 1, 3) / 3, torch.ones(1, 1, 1))
    light = Light(*(torch.tensor([x], dtype=F64) for x in ([0.2] * 3, [0.7] * 3, [0.0, 0, -1])))
    surface = (torch.full((1, 1, 1, 3), 0.5, dtype=F64), torch.tensor([0.0, 0, -1], dtype=F64).reshape(1, 1, 1, 3))
    K = torch.tensor([[[100.0, 0, 0.5], [0, 100, 0.5], [0, 0, 1]]], dtype=F64)
    for reach, expected in (((1.0, 0.0), 0.1), ((0.0, 1.0), 0.35), ((0.5, 0.5), 0.225)):
        hidden = torch.tensor(reach, dtype=F64).reshape(1, 1, 1, 2)
        lit = shade(*surface, fragments, K, light, reach=hidden, backend=backend)
        assert torch.allclose(lit, torch.full((1, 1, 1, 3), expected, dtype=F64))
