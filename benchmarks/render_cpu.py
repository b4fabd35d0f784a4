"""Time the CPU renderer: the rasteriser compared with PyTorch3D's, the whole renderer forward and backward, and
scaling.
"""

import os
import warnings

import torch
from render_common import Scene, arguments, fastest, scene
from reporting import report

from hifihr_core.rendering import Renderer, pytorch3d, rasterize
from hifihr_core.rendering.primitives import homogeneous_px

#: Numbers of runs: the fastest counts on both sides, and short runs need more repetitions to hit a quiet moment.
REPEATS, PYTORCH3D_REPEATS = 200, 3


def against_pytorch3d(name: str, image_px: int, batch: int) -> dict:
    """Compare time per image and the faces found, on the same input in one run."""
    s = scene(name, batch, image_px=image_px)
    ours = fastest(lambda: rasterize(s.verts, s.faces, s.K, height=image_px, width=image_px), repeats=REPEATS)
    result = {"faces": len(s.faces), "image_px": image_px, "ms_per_image": ours["wall_s"] / batch * 1e3}
    result["cpu_ms_per_image"] = ours["cpu_s"] / batch * 1e3
    if not pytorch3d.is_available():
        return result
    ndc = pytorch3d.to_ndc(homogeneous_px(s.verts, s.K), image_px, image_px)
    rest = (s.faces.long(), image_px, image_px, 0.01, False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = fastest(lambda: pytorch3d.find_faces(ndc, *rest), repeats=PYTORCH3D_REPEATS)
        expected = pytorch3d.find_faces(ndc, *rest)
    found = rasterize(s.verts, s.faces, s.K, height=image_px, width=image_px).face
    return result | {
        "pytorch3d_ms_per_image": theirs["wall_s"] / batch * 1e3,
        "pytorch3d_cpu_ms_per_image": theirs["cpu_s"] / batch * 1e3,
        "ratio_wall": theirs["wall_s"] / ours["wall_s"],
        "ratio_cpu": theirs["cpu_s"] / ours["cpu_s"],
        "equal_pixels": (found == expected).double().mean().item(),
        "unequal_pixels": int((found != expected).sum()),
    }


def whole_render(s: Scene) -> dict:
    """Time the textured, lit, antialiased render with gradients to vertices, texture and light."""
    renderer = Renderer(s.faces, height=224, width=224)
    assert s.appearance is not None
    leaves = [s.verts, s.appearance.albedo, s.light.ambient, s.light.color, s.light.direction]
    for leaf in leaves:
        leaf.requires_grad_()

    def both():
        out = renderer(s.verts, s.K, s.appearance, s.light)
        loss = out.image.square().mean() + out.silhouette.square().mean() + out.depth.square().mean()
        return torch.autograd.grad(loss, leaves)

    def forward():
        with torch.no_grad():
            return renderer(s.verts, s.K, s.appearance, s.light)

    batch, covered = len(s.verts), (forward().silhouette > 0).double().mean().item()
    times = {"forward": fastest(forward), "forward_and_backward": fastest(both)}
    result = {"batch": batch, "faces": len(s.faces), "texels": s.appearance.albedo.shape[-1], "covered": covered}
    for name, t in times.items():
        result[f"{name}_ms_per_image"] = t["wall_s"] / batch * 1e3
        result[f"{name}_cpu_ms_per_image"] = t["cpu_s"] / batch * 1e3
    return result


def growth() -> dict:
    """Time the rasteriser for various picture sizes at a fixed view, and for various batch sizes."""
    result = {}
    for image_px in (112, 224, 448, 896):
        s = scene("anny", 4, image_px=image_px)
        t = fastest(lambda s=s, px=image_px: rasterize(s.verts, s.faces, s.K, height=px, width=px))
        covered = (rasterize(s.verts, s.faces, s.K, height=image_px, width=image_px).face >= 0).sum().item()
        result[f"{image_px} px"] = {"cpu_ns_per_covered_pixel": t["cpu_s"] / covered * 1e9}
    for batch in (1, 2, 8, 32):
        s = scene("anny", batch)
        t = fastest(lambda s=s: rasterize(s.verts, s.faces, s.K, height=224, width=224))
        result[f"batch {batch}"] = {k: t[f"{k}_s"] / batch * 1e3 for k in ("wall", "cpu")}
    return result


def main() -> None:
    """Run everything and report."""
    parser = arguments(__doc__)
    parser.add_argument("--skip-672", action="store_true", help="leave out PyTorch3D at the original's 672 x 672")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = (["mano", "mano-fine"] if "HIFIHR_TEST_MANO" in os.environ else []) + ["anny"]
    results = {"whole_render": whole_render(scene("anny", 8)), "growth": growth()}
    results["rasterize"] = {name: against_pytorch3d(name, 224, 4) for name in names}
    if not options.skip_672:
        results["rasterize"][f"{names[0]} 672"] = against_pytorch3d(names[0], 672, 1)
    report("render_cpu", results, options.json)


if __name__ == "__main__":
    main()
