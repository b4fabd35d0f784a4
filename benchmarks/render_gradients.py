"""Compare silhouette gradients with finite differences of the true covered area, over many random meshes.

The true area is measured with 32 x 32 samples per pixel of the hard rasteriser. Every mesh is a bumpy closed surface
that hides parts of itself, or a posed hand; the derivative is that of a smoothly weighted silhouette along a random
smooth deformation of at most 0.4 pixels.
"""

import math

import numpy as np
import torch
import trimesh
from render_common import arguments, scene
from reporting import report
from torch import Tensor
from torch.nn import functional

from hifihr_core.rendering import antialias, rasterize

PX, FINE = 96, 32
F64 = torch.float64


def bumpy(seed: int, subdivisions: int) -> tuple[Tensor, Tensor]:
    """Return a sphere of 6 cm deformed by random waves, half a metre away."""
    mesh, random = trimesh.creation.icosphere(subdivisions=subdivisions), np.random.default_rng(seed)
    verts = np.array(mesh.vertices)
    for _ in range(4):
        axis = random.normal(size=3)
        wave = np.sin(3 * (verts @ (axis / np.linalg.norm(axis))) + random.uniform(0, 6))
        verts = verts * (1 + 0.25 * random.normal() * wave)[:, None]
    reach = np.linalg.norm(verts, axis=1).max()
    return torch.tensor(verts * 0.05 / reach)[None] + torch.tensor([0.001, -0.002, 0.5]), torch.tensor(mesh.faces)


def hand(seed: int) -> tuple[Tensor, Tensor]:
    """Return a posed hand, scaled to the same place and size."""
    s = scene("anny", 1, seed=seed)
    centred = s.verts.double() - s.verts.double().mean(dim=1, keepdim=True)
    scaled = centred * 0.05 / centred.norm(dim=-1).max()
    return scaled + torch.tensor([0.001, -0.002, 0.5]), s.faces


def compare(verts: Tensor, faces: Tensor, seed: int) -> tuple[float, float, float]:
    """Return (our derivative, the true one, mean error of the coverage of partly covered pixels)."""
    K = torch.tensor([[[400.0, 0, PX / 2], [0, 400, PX / 2], [0, 0, 1]]], dtype=F64)
    generator = torch.Generator().manual_seed(seed)
    ramp = (torch.arange(PX, dtype=F64) + 0.5) / PX * 2 * math.pi
    phase = torch.rand(2, generator=generator, dtype=F64)
    weight = torch.cos(1.3 * ramp + phase[0])[None, :] * torch.sin(0.9 * ramp + phase[1])[:, None] + 0.3
    waves, mix = (torch.randn((3, 3), generator=generator, dtype=F64) for _ in range(2))
    step = torch.sin(verts @ waves * 15 + 1) @ mix
    step = step / step.norm(dim=-1).max() * 5e-4

    def truth(points: Tensor) -> Tensor:
        enlarged = K * torch.tensor([FINE, FINE, 1])[:, None]
        seen = rasterize(points, faces, enlarged, height=PX * FINE, width=PX * FINE).face >= 0
        return functional.avg_pool2d(seen[:, None].float(), FINE)[0, 0].double()

    verts = verts.detach().requires_grad_()
    out = rasterize(verts, faces, K, height=PX, width=PX)
    covered = antialias((out.face >= 0).to(F64)[..., None], out, verts, faces, K)[0, ..., 0]
    (grad,) = torch.autograd.grad((covered * weight).sum(), verts)
    difference = ((truth(verts + step) - truth(verts - step)) * weight).sum().item() / 2
    true = truth(verts)
    partly = (true > 0) & (true < 1)
    return (grad * step).sum().item(), difference, (covered - true)[partly].abs().mean().item()


def main() -> None:
    """Compare on every kind of mesh and report."""
    parser = arguments(__doc__)
    parser.add_argument("--meshes", type=int, default=40, help="meshes of every kind")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kinds = {f"bumpy, {20 * 4**n} faces": (lambda seed, n=n: bumpy(seed, n)) for n in (2, 3, 4)} | {"hand": hand}
    results = {}
    for name, make in kinds.items():
        rows = np.array([compare(*make(seed), seed) for seed in range(options.meshes)])
        ours, true = rows[:, 0], rows[:, 1]
        results[name] = {
            "meshes": options.meshes,
            "correlation": float(np.corrcoef(ours, true)[0, 1]),
            "relative_rms_error": float(np.linalg.norm(ours - true) / np.linalg.norm(true)),
            "slope": float(ours @ true / (true @ true)),
            "mean_error_of_partial_coverage": float(rows[:, 2].mean()),
        }
    report("render_gradients", {"gradients": results}, options.json)


if __name__ == "__main__":
    main()
