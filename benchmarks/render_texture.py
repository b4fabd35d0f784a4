"""Does filtering the texture help at 224 px? Compare bilinear lookup in the map, and in averaged maps, with the truth.

The truth is the same picture rendered 8 times larger in both directions and averaged. PSNR on fully covered pixels.
"""

import torch
from render_common import arguments, scene
from reporting import report
from torch.nn import functional

from hifihr_core.records import Appearance
from hifihr_core.rendering import Renderer


def main() -> None:
    """Compare and report."""
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    s, results = scene("anny", 2), {}
    assert s.appearance is not None
    plain = Renderer(s.faces, height=224, width=224)
    fine = Renderer(s.faces, height=224, width=224, supersample=8)
    noise = torch.rand(s.appearance.albedo.shape, generator=torch.Generator().manual_seed(0))
    for name, albedo in {"skin": s.appearance.albedo, "white noise": noise}.items():
        chart = (s.appearance.uvs, s.appearance.faces_uvs)
        with torch.no_grad():
            truth = fine(s.verts, s.K, Appearance(albedo, *chart), s.light)
            for factor in (1, 2, 4):
                smaller = functional.avg_pool2d(albedo, factor)
                ours = plain(s.verts, s.K, Appearance(smaller, *chart), s.light)
                seen = (ours.silhouette == 1) & (truth.silhouette == 1)
                error = (ours.image - truth.image).square().mean(dim=1)[seen].mean()
                results[f"{name}, {smaller.shape[-1]} texels"] = -10 * error.log10().item()
    report("render_texture", {"psnr_db": results}, options.json)


if __name__ == "__main__":
    main()
