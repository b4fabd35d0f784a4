"""Time a render with gradients under a sky, with ambient occlusion and cast shadow, relative to plain light, in one
run.

    python benchmarks/render_light.py

Runs of both kinds alternate, so that other work on the machine slows both. Shade is recomputed for every image.
"""

import time
from collections.abc import Callable

import torch
from render_common import Scene, arguments, scene
from reporting import report

from hifihr_core.records import Light
from hifihr_core.rendering import Renderer, self_shade
from hifihr_core.rendering.skylight import as_sky

BATCH = 8


def work(s: Scene, *, sky: bool, shaded: bool) -> Callable[[], object]:
    """Return a render, forward and backward, with gradients to vertices, texture and light."""
    renderer = Renderer(s.faces, height=224, width=224)
    appearance, light = s.appearance, s.light
    assert appearance is not None
    if sky:
        soft = as_sky(light)
        light = Light(soft.ambient, 0.5 * light.color, light.direction, soft.sky)
    leaves = [x for x in (s.verts, appearance.albedo, *vars(light).values()) if x is not None]
    for leaf in leaves:
        leaf.requires_grad_()

    def both() -> object:
        shade = self_shade(s.verts, s.faces, light.direction) if shaded else None
        out = renderer(s.verts, s.K, appearance, light, shade=shade)
        loss = out.image.square().mean() + out.silhouette.square().mean() + out.depth.square().mean()
        return torch.autograd.grad(loss, leaves)

    return both


def main() -> None:
    """Time the kinds in turn and report the least and median time of each relative to the plain one."""
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kinds = {"plain": (False, False), "sky": (True, False), "shade": (False, True), "sky and shade": (True, True)}
    runs = {name: work(scene("anny", BATCH), sky=sky, shaded=shaded) for name, (sky, shaded) in kinds.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number:  # the first run compiles
                seconds[name].append(time.perf_counter() - start)
    middle = {name: sorted(times)[len(times) // 2] for name, times in seconds.items()}
    results = {
        name: {
            "ms_per_image": middle[name] / BATCH * 1e3,
            "median_ratio": middle[name] / middle["plain"],
            "least_ratio": min(seconds[name]) / min(seconds["plain"]),
        }
        for name in runs
    }
    report("render_light", results, options.json)


if __name__ == "__main__":
    main()
