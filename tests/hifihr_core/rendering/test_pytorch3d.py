"""PyTorch3D finds the same faces; skipped where it is not installed."""

import pytest
import torch

from hifihr_core.rendering import Renderer, pytorch3d, rasterize

pytestmark = pytest.mark.skipif(not pytorch3d.is_available(), reason="PyTorch3D is not installed")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (80, 48)])
@pytest.mark.parametrize("cull", ["none", "back"])
def test_same_faces(make_scene, size, cull):
    scene = make_scene(dtype=torch.float32)
    K = scene.K * 1.5
    K[:, 2, 2] = 1
    ours, theirs = (
        rasterize(scene.verts, scene.faces, K, height=size[0], width=size[1], cull=cull, backend=backend)
        for backend in ("native", "pytorch3d")
    )
    assert (ours.face >= 0).float().mean() > 0.1
    assert (ours.face == theirs.face).float().mean() > 0.999
    same = ours.face == theirs.face
    torch.testing.assert_close(ours.bary[same], theirs.bary[same], rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_same_picture_and_gradient(make_scene):
    scene, results = make_scene(dtype=torch.float32), []
    for backend in ("native", "pytorch3d"):
        verts = scene.verts.clone().requires_grad_()
        renderer = Renderer(scene.faces, height=40, width=40, backend=backend)
        out = renderer(verts, scene.K, scene.appearance, scene.light)
        results.append((out.image, torch.autograd.grad(out.silhouette.square().sum(), verts)[0]))
    (image, grad), (other_image, other_grad) = results
    assert (image - other_image).abs().gt(1e-3).float().mean() < 1e-3
    assert (grad - other_grad).norm() < 0.02 * grad.norm()


def test_what_it_cannot_do_is_said(make_scene):
    scene = make_scene(dtype=torch.float32)
    with pytest.raises(ValueError, match="cull is 'front'"):
        rasterize(scene.verts, scene.faces, scene.K, height=8, width=8, cull="front", backend="pytorch3d")
