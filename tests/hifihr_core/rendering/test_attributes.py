import pytest
import torch

from hifihr_core.rendering import Fragments, interpolate, rasterize, sample_texture

F64 = torch.float64


def test_interpolated_positions_are_on_the_rays(make_scene):
    scene = make_scene()
    fragments = rasterize(scene.verts, scene.faces, scene.K, height=40, width=40)
    points = interpolate(scene.verts, fragments, scene.faces)
    seen = fragments.face >= 0
    assert torch.allclose(points[..., 2][seen], fragments.depth[seen])
    assert (points[~seen] == 0).all()
    b, i, j = seen.nonzero(as_tuple=True)
    pixels = torch.einsum("nij,nj->ni", scene.K[b], points[seen] / points[seen][:, 2:])[:, :2]
    assert torch.allclose(pixels, torch.stack([j + 0.5, i + 0.5], dim=1).double())


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_interpolate_twins(make_scene, native, assert_twins, dtype, unit, shared):
    scene = make_scene(dtype=dtype)
    fragments = rasterize(scene.verts, scene.faces, scene.K, height=40, width=40)
    values = torch.randn(scene.verts.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    assert_twins(
        lambda backend, v, bary: backend.interpolate(v, scene.faces, fragments.face, bary, unit),
        native, values[:1] if shared else values, fragments.bary, tolerance=1e-9 if dtype == F64 else 1e-4,
    )  # fmt: skip


def test_interpolate_gradcheck(make_scene):
    scene = make_scene(subdivisions=1, batch=1, size=8)
    fragments = rasterize(scene.verts, scene.faces, scene.K, height=8, width=8)

    def lookup(values, bary):
        return interpolate(values, Fragments(fragments.face, bary, fragments.depth), scene.faces, unit=True)

    values = torch.randn(scene.verts.shape[1], 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    inputs = (values.requires_grad_(), fragments.bary.requires_grad_())
    assert torch.autograd.gradcheck(lookup, inputs, check_batched_grad=False)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_texel_centres_and_corners_by_hand(backend):
    texture = torch.arange(6, dtype=F64).reshape(1, 1, 2, 3)  # rows 0 1 2 (top) and 3 4 5
    uv = torch.tensor([[1 / 6, 0.75], [0.5, 0.25], [0, 0], [1, 1], [1 / 3, 0.5], [-5, 9]], dtype=F64).reshape(
        1, 1, 6, 2
    )
    out = sample_texture(texture, uv, backend=backend)
    assert torch.allclose(out[0, 0, :, 0], torch.tensor([0, 4, 3, 2, 2, 0], dtype=F64))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_texture_twins(native, assert_twins, dtype):
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand((2, 3, 7, 5), generator=generator, dtype=dtype)
    uv = torch.rand((2, 9, 8, 2), generator=generator, dtype=dtype) * 1.4 - 0.2
    face = torch.randint(-1, 2, (2, 9, 8), generator=generator, dtype=torch.int32)
    assert_twins(
        lambda backend, t, x: backend.sample_texture(t, x, face), native, texture, uv,
        tolerance=1e-9 if dtype == F64 else 1e-4,
    )  # fmt: skip


def test_texture_gradcheck():
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand((1, 2, 5, 5), generator=generator, dtype=F64, requires_grad=True)
    uv = torch.rand((1, 4, 4, 2), generator=generator, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(sample_texture, (texture, uv))


def test_a_uv_that_is_not_a_number_does_no_harm():
    uv = torch.full((1, 1, 1, 2), float("nan"))
    assert sample_texture(torch.ones(1, 1, 4, 4), uv).shape == (1, 1, 1, 1)


def test_one_texel_is_a_colour():
    out = sample_texture(torch.full((1, 3, 1, 1), 0.25), torch.rand(1, 2, 2, 2))
    assert (out == 0.25).all()
