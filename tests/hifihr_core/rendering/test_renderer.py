import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import torch

from hifihr_core.errors import DeviceError
from hifihr_core.records import Appearance
from hifihr_core.rendering import Renderer, backends, rasterize
from hifihr_core.rendering.arguments import check_batches, check_faces, check_size

F64 = torch.float64


@pytest.fixture
def draw(make_scene):
    def draw(scene, background=None, **options):
        renderer = Renderer(scene.faces, height=scene.size, width=scene.size, **options)
        return renderer(scene.verts, scene.K, scene.appearance, scene.light, background)

    return draw


@pytest.mark.parametrize("options", [{}, {"linear_light": True}, {"supersample": 2}, {"antialiased": False}])
def test_native_is_the_reference(make_scene, draw, options):
    scene = make_scene()
    ours, theirs = (draw(scene, backend=backend, **options) for backend in ("native", "reference"))
    for name in ("image", "silhouette", "depth", "normals"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-6)


def test_a_sphere_seen_from_a_camera(make_scene, draw):
    out = draw(make_scene(dtype=torch.float32))
    seen = out.silhouette == 1
    assert 0.1 < seen.float().mean() < 0.9
    assert ((out.silhouette > 0) & (out.silhouette < 1)).any()
    assert out.depth[seen].min() > 0.4
    assert (out.depth[out.silhouette == 0] == 0).all()
    length = out.normals.norm(dim=1)
    assert torch.allclose(length[seen], torch.ones(()), atol=1e-5)
    assert (out.image.movedim(1, -1)[out.silhouette == 0] == 0).all()


def test_backgrounds(make_scene, draw):
    scene = make_scene()
    empty = (draw(scene).silhouette == 0)[:, None].expand(-1, 3, -1, -1)
    one = torch.tensor([0.1, 0.2, 0.3], dtype=F64)
    each = torch.stack([one, one.flip(0)])
    image = torch.rand((2, 3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=F64)
    for background, full in ((one, one[:, None, None]), (each, each[..., None, None]), (image, image)):
        out = draw(scene, background).image
        assert torch.equal(out[empty], full.expand(2, 3, 40, 40)[empty])


def test_the_same_renderer_at_another_size(make_scene):
    scene = make_scene()
    renderer = Renderer(scene.faces, height=scene.size, width=scene.size)
    small = renderer.at_size(9, 11)
    half = scene.K * scene.K.new_tensor([0.5, 0.5, 1.0])[:, None]
    drawn = small(scene.verts, half, scene.appearance, scene.light)
    fresh = Renderer(scene.faces, height=9, width=11)(scene.verts, half, scene.appearance, scene.light)
    torch.testing.assert_close(drawn.image, fresh.image, rtol=0, atol=0)
    assert (renderer.height, renderer.width) == (scene.size, scene.size)
    with pytest.raises(ValueError, match="0 x 4"):
        renderer.at_size(0, 4)


def test_vertex_colours(make_scene, draw):
    scene = make_scene()
    colours = torch.full_like(scene.verts, 0.5)
    flat = replace(scene.light, ambient=torch.ones(2, 3, dtype=F64), color=torch.zeros(2, 3, dtype=F64))
    out = draw(replace(scene, appearance=Appearance(colours), light=flat))
    assert torch.allclose(out.image[:, 0], out.silhouette * 0.5)


def test_the_originals_renderer_has_no_gradient_at_outlines(make_scene):
    scene = make_scene(dtype=torch.float32)
    verts = scene.verts.requires_grad_()
    paper = Renderer.paper(scene.faces, height=24, width=24)
    out = paper(verts, scene.K, scene.appearance, scene.light, torch.ones(3))
    assert not out.silhouette.requires_grad or not torch.autograd.grad(out.silhouette.sum(), verts)[0].any()
    ninths = out.silhouette * 9
    assert torch.allclose(ninths, ninths.round(), atol=1e-5)
    assert (out.image.movedim(1, -1)[out.silhouette == 0] == 1).all()


def leaves_of(scene):
    """Return the tensors of a scene that gradients reach, all of which now require one."""
    light = scene.light
    leaves = [scene.verts, scene.K, scene.appearance.albedo, light.ambient, light.color, light.direction]
    return [leaf.requires_grad_() for leaf in leaves]


def test_same_bits_twice_forward_and_backward(make_scene):
    results = []
    for _ in range(2):
        scene = make_scene(dtype=torch.float32)
        leaves = leaves_of(scene)
        out = Renderer(scene.faces, height=40, width=40)(scene.verts, scene.K, scene.appearance, scene.light)
        loss = sum(x.sin().sum() for x in vars(out).values())
        results.append([*vars(out).values(), *torch.autograd.grad(loss, leaves)])
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))


def test_half_precision_does_not_reach_the_geometry(make_scene, draw):
    scene = make_scene(dtype=torch.float32)
    plain = draw(scene)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = draw(scene)
    assert torch.equal(plain.silhouette, mixed.silhouette)
    assert mixed.image.dtype == torch.float32


def test_gradients_reach_everything(make_scene, draw):
    scene = make_scene()
    background = torch.zeros(2, 3, 40, 40, dtype=F64, requires_grad=True)
    leaves = leaves_of(scene)
    out = draw(scene, background)
    for grad in torch.autograd.grad(out.image.square().sum(), [*leaves, background], retain_graph=True):
        assert torch.isfinite(grad).all()
        assert grad.abs().max() > 0
    for part in (out.silhouette, out.depth, out.normals):
        assert torch.autograd.grad(part.sin().sum(), scene.verts, retain_graph=True)[0].abs().max() > 0


def spoil(tensor, *place, value):
    spoilt = tensor.clone()
    spoilt[place] = value
    return spoilt


def test_wrong_values_are_named(make_scene):
    scene = make_scene()

    def call(verts=scene.verts, faces=scene.faces, K=scene.K, **options):
        return rasterize(verts, faces, K, **{"height": 8, "width": 8, **options})

    with pytest.raises(ValueError, match=r"verts_cam\[1, 7, 2\] = nan"):
        call(spoil(scene.verts, 1, 7, 2, value=float("nan")))
    with pytest.raises(ValueError, match=r"verts_cam\[0, 0, 0\] = inf"):
        call(spoil(scene.verts, 0, 0, 0, value=float("inf")))
    with pytest.raises(ValueError, match=r"K\[0, 0, 2\] = nan"):
        call(K=spoil(scene.K, 0, 0, 2, value=float("nan")))
    with pytest.raises(ValueError, match=r"K\[1\] has focal lengths .*positive"):
        call(K=spoil(scene.K, 1, 0, 0, value=-3))
    with pytest.raises(ValueError, match=r"faces\[5\] = \[.*999.*\], expected indices from 0 to 161"):
        call(faces=spoil(scene.faces, 5, 1, value=999))
    with pytest.raises(ValueError, match="expected indices from 0"):
        call(faces=spoil(scene.faces, 0, 0, value=-1))
    with pytest.raises(ValueError, match="at least one face"):
        call(faces=scene.faces[:0])
    with pytest.raises(ValueError, match="image is 0 x 8"):
        call(height=0)
    with pytest.raises(ValueError, match=r"near_m is -1\.0"):
        call(near_m=-1.0)
    with pytest.raises(ValueError, match="overflows"):
        call(scene.verts * 1e308)
    check_size(1, 1)


def test_wrong_sizes_are_named(make_scene):
    scene = make_scene()
    with pytest.raises(ValueError, match="K has batch size 3, expected that of verts_cam, 2"):
        check_batches(verts_cam=scene.verts, K=scene.K[[0, 1, 0]])
    with pytest.raises(ValueError, match=r"faces has shape \(4, 2\)"):
        check_faces(torch.zeros(4, 2, dtype=torch.int64), 3)
    with pytest.raises(ValueError, match="K is on meta, expected the device of verts_cam, cpu"):
        check_batches(verts_cam=scene.verts, K=scene.K.to("meta"))
    renderer = Renderer(scene.faces, height=8, width=8)
    with pytest.raises(ValueError, match="verts_cam has 50 vertices, expected at least 162"):
        renderer(scene.verts[:, :50], scene.K, scene.appearance, scene.light)
    with pytest.raises(ValueError, match="background has shape"):
        renderer(scene.verts, scene.K, scene.appearance, scene.light, torch.rand(2, 3, 9, 9, dtype=F64))
    with pytest.raises(ValueError, match=r"albedo has shape .*, expected .* without UVs"):
        renderer(scene.verts, scene.K, Appearance(scene.verts[:, :9]), scene.light)
    with pytest.raises(ValueError, match="supersample is 0"):
        Renderer(scene.faces, height=8, width=8, supersample=0)


def test_degenerate_faces_cover_nothing(make_scene, draw):
    scene = make_scene()
    flat = torch.tensor([[3, 3, 3], [4, 4, 5], [0, 1, 1]])
    more = replace(scene, faces=torch.cat([scene.faces, flat]))
    more = replace(more, appearance=replace(scene.appearance, faces_uvs=more.faces))
    assert torch.equal(draw(more).silhouette, draw(scene).silhouette)
    collapsed = draw(replace(scene, verts=scene.verts.detach() * 0 + 0.5))
    assert not collapsed.silhouette.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
def test_tiny_images(make_scene, size):
    scene = make_scene()
    renderer = Renderer(scene.faces, height=size[0], width=size[1])
    for backend in ("native", "reference"):
        renderer.backend = backend
        out = renderer(scene.verts, scene.K, scene.appearance, scene.light)
        assert out.image.shape == (2, 3, *size)


def test_unknown_back_ends_and_devices():
    with pytest.raises(ValueError, match="'opengl', expected one of auto, native, reference, pytorch3d"):
        backends.get_backend("opengl", torch.device("cpu"))
    with pytest.warns(RuntimeWarning, match="mps uses the slow plain-torch reference: there are no compiled kernels"):
        backends._native.__wrapped__("mps")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert backends.get_backend("auto", torch.device("cpu")).name == "native"


def test_missing_pytorch3d_names_the_remedy(monkeypatch):
    from hifihr_core.rendering import pytorch3d as adapter

    monkeypatch.setattr(adapter, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"INSTALL\.md"):
        backends._pytorch3d.__wrapped__("cpu")


SCRIPT = """
import os, torch
from hifihr_core.rendering import rasterize
verts = torch.tensor([[[0.0, 0, 1], [4, 0, 1], [0, 4, 1]]])
faces, K = torch.tensor([[0, 1, 2]]), torch.eye(3)[None]
torch.set_num_threads(2)
def seen():
    return int((rasterize(verts, faces, K, height=64, width=64).face >= 0).sum())
assert seen() == 10
try:
    rasterize(verts, faces, K.expand(2, 3, 3), height=4, width=4)
except ValueError as error:
    assert "batch size 2, expected that of verts_cam, 1" in str(error)
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        os._exit(0 if seen() == 10 else 1)
    assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def test_a_read_only_cache_and_a_fork(tmp_path):
    """A process with a read-only cache folder renders all the same, and so does its forked child."""
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder is expected")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "NUMBA_CACHE_DIR": str(blocked / "below"), "HOME": str(blocked)},
    )  # fmt: skip
    assert done.stdout.strip() == "done", done.stderr
