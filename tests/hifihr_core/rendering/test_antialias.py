import numpy as np
import pytest
import torch
from torch.nn import functional

from hifihr_core.geometry.meshes import edge_adjacency
from hifihr_core.rendering import _reference, antialias, rasterize
from hifihr_core.rendering.primitives import homogeneous_px

F64 = torch.float64
IDENTITY = torch.eye(3, dtype=F64)[None]


def silhouette(verts, faces, K, size, backend="native"):
    fragments = rasterize(verts, faces, K, height=size, width=size, backend=backend)
    return antialias((fragments.face >= 0).to(verts.dtype)[..., None], fragments, verts, faces, K, backend=backend)[
        ..., 0
    ]


def rectangle(left, top, right, bottom, z=1.0):
    corners = torch.tensor([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=F64)
    return torch.cat([corners * z, torch.full((4, 1), z, dtype=F64)], dim=1), torch.tensor([[0, 2, 1], [0, 3, 2]])


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("edge", [3.5, 3.7, 4.0, 4.2, 4.4999])
def test_a_straight_edge_covers_its_exact_area(backend, edge):
    verts, faces = rectangle(-9, -9, edge, 99)
    row = silhouette(verts[None], faces, IDENTITY, 8, backend)[0, 4]
    assert torch.allclose(row, (edge - torch.arange(8, dtype=F64)).clamp(0, 1))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_straight_edge_moves_with_the_area(backend):
    verts, faces = rectangle(1.2, 2.3, 6.6, 5.9)
    verts = verts[None].requires_grad_()
    covered = silhouette(verts, faces, IDENTITY, 9, backend)
    assert covered.min() >= 0
    assert covered.max() <= 1
    covered.sum().backward()
    height, width = 4, 6  # centre lines that the vertical and horizontal sides cross
    right, left = verts.grad[0, [1, 2], 0].sum(), verts.grad[0, [0, 3], 0].sum()
    below, above = verts.grad[0, [2, 3], 1].sum(), verts.grad[0, [0, 1], 1].sum()
    assert [right.item(), left.item(), below.item(), above.item()] == pytest.approx([height, -height, width, -width])


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_an_inner_edge_blends_what_is_in_front_with_what_is_behind(backend):
    front, faces = rectangle(-9, -9, 3.7, 99)
    back, _ = rectangle(-9, -9, 99, 99, z=2.0)
    verts = torch.cat([front, back])[None].requires_grad_()
    faces = torch.cat([faces, faces + 4])
    out = rasterize(verts, faces, IDENTITY, height=8, width=8, backend=backend)
    values = torch.stack([out.depth, (out.face < 2).to(F64)], dim=-1)
    blended = antialias(values, out, verts, faces, IDENTITY, backend=backend)
    expected = torch.tensor([1, 1, 1, 1.3, 2, 2, 2, 2], dtype=F64)
    assert torch.allclose(blended[0, 3, :, 0], expected)
    assert torch.allclose(blended[0, 3, :, 1], 2 - expected)
    (grad,) = torch.autograd.grad(blended[..., 1].sum(), verts)
    assert grad[0, [1, 2], 0].sum().item() == pytest.approx(8)
    assert (grad[0, 4:] == 0).all()


def test_hidden_outlines_and_inner_edges_do_nothing(make_scene):
    hidden, faces = rectangle(2.1, 2.2, 5.3, 5.4, z=3.0)
    front, _ = rectangle(-9, -9, 99, 99)
    verts, both = torch.cat([hidden, front])[None], torch.cat([faces, faces + 4])
    out = rasterize(verts, both, IDENTITY, height=8, width=8)
    noise = torch.rand((1, 8, 8, 2), generator=torch.Generator().manual_seed(0), dtype=F64)
    assert torch.equal(antialias(noise, out, verts, both, IDENTITY), noise)


def test_a_speck_is_partly_covered():
    verts, faces = rectangle(3.45, 3.45, 3.55, 3.55)
    covered = silhouette(verts[None], faces, IDENTITY, 8)
    assert covered.min() >= 0
    assert covered[0, 3, 3] < 0.3


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("seed", range(4))
def test_twins(make_scene, native, assert_twins, dtype, seed):
    scene = make_scene(seed, dtype=dtype)
    face, _, depth = native.rasterize(scene.q, scene.faces, 40, 40, 0.01, "none")
    around = edge_adjacency(scene.faces)
    values = torch.rand((2, 40, 40, 4), generator=torch.Generator().manual_seed(seed), dtype=dtype)
    crossing = _reference.find_crossings(scene.q.double(), face, depth, around.edges, around.opposite, 0.01)
    assert (crossing >= 0).sum() > 50
    assert_twins(
        lambda backend, v, verts, K: backend.antialias(
            v, homogeneous_px(verts, K), face, depth, around.edges, around.opposite, 0.01
        ),
        native, values, scene.verts, scene.K, tolerance=1e-9 if dtype == F64 else 1e-3,
    )  # fmt: skip


def test_twins_across_the_near_plane(make_scene, native):
    scene = make_scene()
    q = homogeneous_px(scene.verts + torch.tensor([0.05, 0.0, -0.45], dtype=F64), scene.K)
    face, _, depth = native.rasterize(q, scene.faces, 40, 40, 0.05, "none")
    around = edge_adjacency(scene.faces)
    assert ((q[..., 2] < 0.05).any(), (face >= 0).any(), (face < 0).any()) == (True, True, True)
    values = (face >= 0).double()[..., None]
    ours, theirs = (
        b.antialias(values, q, face, depth, around.edges, around.opposite, 0.05) for b in (native, _reference)
    )
    torch.testing.assert_close(ours, theirs)
    assert not torch.equal(ours, values)


def test_gradcheck(make_scene):
    scene = make_scene(subdivisions=1, batch=1, size=12)
    values = torch.rand((1, 12, 12, 2), generator=torch.Generator().manual_seed(0), dtype=F64, requires_grad=True)
    fragments = rasterize(scene.verts, scene.faces, scene.K, height=12, width=12)
    inputs = (values, scene.verts.requires_grad_(), scene.K.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda v, verts, K: antialias(v, fragments, verts, scene.faces, K), inputs, eps=1e-9, atol=1e-3, rtol=1e-3
    )


def test_silhouette_gradient_agrees_with_finite_differences_of_the_true_area(make_scene):
    """Directional derivatives of smoothly weighted silhouettes against those of 16 x 16 samples per pixel."""
    size, fine, ours, truth = 64, 16, [], []
    ramp = (torch.arange(size, dtype=F64) + 0.5) / size
    for seed in range(10):
        scene = make_scene(seed, batch=1, size=size, subdivisions=3)
        K = scene.K * torch.tensor([[0.6, 1, 1], [1, 0.6, 1], [1, 1, 1]], dtype=F64)  # keep the outline off the border
        enlarged = K * torch.tensor([fine, fine, 1])[:, None]
        weight = torch.cos(7 * ramp[:, None] + seed) * torch.sin(6 * ramp + 2 * seed) + 0.3
        generator = torch.Generator().manual_seed(seed)
        waves, mix = (torch.randn((3, 3), generator=generator, dtype=F64) for _ in range(2))
        step = torch.sin(scene.verts @ waves * 15 + 1) @ mix
        step = step / step.abs().max() * 5e-4

        def area(verts, enlarged=enlarged, weight=weight, faces=scene.faces):
            seen = rasterize(verts, faces, enlarged, height=size * fine, width=size * fine).face >= 0
            return (functional.avg_pool2d(seen[:, None].double(), fine)[:, 0] * weight).sum().item()

        verts = scene.verts.requires_grad_()
        (grad,) = torch.autograd.grad((silhouette(verts, scene.faces, K, size) * weight).sum(), verts)
        ours.append((grad * step).sum().item())
        truth.append((area(verts + step) - area(verts - step)) / 2)
    ours, truth = np.array(ours), np.array(truth)
    assert np.corrcoef(ours, truth)[0, 1] > 0.998
    assert np.linalg.norm(ours - truth) / np.linalg.norm(truth) < 0.06
