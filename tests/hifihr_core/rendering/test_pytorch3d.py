"""PyTorch3D finds the same faces; skipped where it is not installed."""

import pytest
import torch

from hifihr_core.records import Appearance, Light
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


def test_unsupported_steps_are_reported(make_scene):
    scene = make_scene(dtype=torch.float32)
    with pytest.raises(ValueError, match="cull is 'front'"):
        rasterize(scene.verts, scene.faces, scene.K, height=8, width=8, cull="front", backend="pytorch3d")


@pytest.mark.filterwarnings("ignore")
def test_the_originals_renderer_gives_the_originals_picture(make_scene):
    """Hard Phong at three times the size, averaged, white around: PyTorch3D's own shader draws the same."""
    from pytorch3d import renderer as p3d
    from pytorch3d.structures import Meshes

    scene, size = make_scene(dtype=torch.float32, batch=1), 40
    K = torch.tensor([[[90.0, 0, 20.5], [0, 90, 19.0], [0, 0, 1]]])
    colours = torch.rand(scene.verts.shape, generator=torch.Generator().manual_seed(0))
    light = Light(torch.full((1, 3), 0.5), scene.light.color, scene.light.direction)
    ours = Renderer.paper(scene.faces, height=size, width=size)(
        scene.verts, K, Appearance(colours), light, torch.ones(3)
    )

    center = -(K[:, :2, 2] - size / 2) * 2 / size
    cameras = p3d.PerspectiveCameras(focal_length=-K[:, [0, 1], [0, 1]] * 2 / size, principal_point=center)
    lights = p3d.DirectionalLights(diffuse_color=light.color, direction=light.direction)
    materials = p3d.Materials(diffuse_color=((0.8,) * 3,), specular_color=((0.2,) * 3,), shininess=30)
    settings = p3d.RasterizationSettings(image_size=3 * size, blur_radius=0.0, faces_per_pixel=1)
    shader = p3d.HardPhongShader(device="cpu", cameras=cameras, lights=lights, materials=materials)
    mesh = Meshes(scene.verts, scene.faces[None], p3d.TexturesVertex(colours))
    drawn = shader(p3d.MeshRasterizer(cameras=cameras, raster_settings=settings)(mesh), mesh)
    theirs = torch.nn.functional.avg_pool2d(drawn[..., :3].permute(0, 3, 1, 2), 3)
    assert (ours.silhouette > 0).float().mean() > 0.2
    assert ((ours.image - theirs).abs() < 2e-3).float().mean() > 0.999
