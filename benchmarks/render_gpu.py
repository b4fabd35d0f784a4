"""On a GPU: compare the renderer, forward and backward, with PyTorch3D's rendering in the original, and with the
backbone.

Batch 48, 12,856 faces, 224 x 224. The original renders with hard Phong at 672 x 672, averaged 3 x 3 (needs PyTorch3D).
Peak memory is recorded. `--check` first compares CUDA with the CPU on the same scene. Without a GPU `--device cpu
--batch 1` runs the same code.
"""

import warnings

import timm
import torch
from render_common import Scene, arguments, fastest, scene
from reporting import report
from torch import Tensor
from torch.nn import functional

from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Renderer, pytorch3d


def measure(work, device: str, batch: int, repeats: int) -> dict:
    """Time some work and record its peak memory."""
    synchronize = torch.cuda.synchronize if device == "cuda" else None
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = fastest(work, repeats=repeats, synchronize=synchronize)
    result = {"ms_per_batch": times["wall_s"] * 1e3, "ms_per_image": times["wall_s"] / batch * 1e3}
    if device == "cuda":
        result["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return result


def ours(s: Scene, colors: Tensor, backend: str):
    """Return a step of our renderer: image, silhouette, and gradients to vertices, colours and light."""
    renderer = Renderer(s.faces, height=224, width=224, backend=backend).to(s.verts.device)
    leaves = [x.detach().clone().requires_grad_() for x in (s.verts, colors, *vars(s.light).values()) if x is not None]

    def step():
        out = renderer(leaves[0], s.K, Appearance(leaves[1]), Light(*leaves[2:]))
        return torch.autograd.grad(out.image.square().mean() + out.silhouette.mean(), leaves)

    return step


def original(s: Scene, colors: Tensor, device: str):
    """Return a step of PyTorch3D's hard Phong renderer at 672 x 672 with 3 x 3 averaging."""
    from pytorch3d import renderer as p3d
    from pytorch3d.structures import Meshes

    focal, center = -2 / 224 * s.K[:, [0, 1], [0, 1]], -2 / 224 * (s.K[:, :2, 2] - 112)
    cameras = p3d.PerspectiveCameras(focal_length=focal, principal_point=center, device=device)
    raster = p3d.RasterizationSettings(image_size=672, blur_radius=0.0, faces_per_pixel=1)
    materials = p3d.Materials(diffuse_color=((0.8,) * 3,), specular_color=((0.2,) * 3,), shininess=30, device=device)
    draw = p3d.MeshRasterizer(cameras=cameras, raster_settings=raster)
    leaves = [x.detach().clone().requires_grad_() for x in (s.verts, colors, s.light.color, s.light.direction)]

    def step():
        verts, tint, color, direction = leaves
        lights = p3d.DirectionalLights(diffuse_color=color, direction=direction, device=device)
        shader = p3d.HardPhongShader(device=device, cameras=cameras, lights=lights, materials=materials)
        mesh = Meshes(verts, s.faces.long().expand(len(verts), -1, -1), p3d.TexturesVertex(tint))
        picture = shader(draw(mesh), mesh).permute(0, 3, 1, 2)
        return torch.autograd.grad(functional.avg_pool2d(picture, 3)[:, :3].square().mean(), leaves)

    return step


def backbone(batch: int, device: str):
    """Return a forward and backward pass of the original's encoder."""
    model = timm.create_model("tf_efficientnet_b3", pretrained=False, num_classes=0).to(device)
    images = torch.rand(batch, 3, 224, 224, device=device)

    def step():
        model.zero_grad()
        model(images).square().mean().backward()

    return step


def check(batch: int) -> dict:
    """Compare faces, pictures and gradients of CUDA with those of the CPU."""
    results = []
    for device in ("cpu", "cuda"):
        s = scene("anny", batch, device=device)
        verts = s.verts.requires_grad_()
        assert s.appearance is not None
        out = Renderer(s.faces, height=224, width=224).to(device)(verts, s.K, s.appearance, s.light)
        (grad,) = torch.autograd.grad(out.image.square().mean() + out.silhouette.mean(), verts)
        results.append([x.detach().cpu() for x in (out.image, out.silhouette, grad)])
    (image, cover, grad), (image2, cover2, grad2) = results
    return {
        "pixels_within_1e-3": ((image - image2).abs() < 1e-3).double().mean().item(),
        "coverage_within_1e-3": ((cover - cover2).abs() < 1e-3).double().mean().item(),
        "relative_gradient_difference": ((grad - grad2).norm() / grad.norm()).item(),
    }


def main() -> None:
    """Run what this machine supports and report."""
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    device, batch = options.device, options.batch
    warnings.simplefilter("ignore")
    s = scene("anny-fine", batch, device=device)
    colors = torch.rand_like(s.verts)
    steps = {"ours": ours(s, colors, "native"), "backbone": backbone(batch, device)}
    if pytorch3d.is_available():
        steps["original's job in PyTorch3D"] = original(s, colors, device)
    results = {"device": torch.cuda.get_device_name() if device == "cuda" else "cpu", "batch": batch}
    results["faces"] = len(s.faces)
    for name, step in steps.items():
        results[name] = measure(step, device, batch, options.repeats)
    if options.check and device == "cuda":
        results["cuda against cpu"] = check(4)
    report("render_gpu", results, options.json)


if __name__ == "__main__":
    main()
