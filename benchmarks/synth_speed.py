"""How fast the synthetic generator fills training batches, and what its steps cost.

Usage: python benchmarks/synth_speed.py [--threads 2] [--batches 4] [--json FILE]

Wall time and processor time per image at 128 and 224 px, batches of 32, free hand with a 256 px texture, after one
batch of warming up. The ratio compares with the bare rendering of the same hands by the same renderer.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from reporting import report

from hifihr_core.hands import HandModel, load_hand
from hifihr_core.rendering import Renderer
from hifihr_core.synthesis import Synthesizer, SynthOptions
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.scene import draw_light, place_hand

BATCH = 32


def measure(work: Callable[[int], object], batches: int) -> tuple[float, float]:
    """Return (wall, processor) milliseconds per image."""
    work(0)
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(1, batches + 1):
        work(number)
    count = batches * BATCH
    return 1000 * (time.perf_counter() - wall) / count, 1000 * (time.process_time() - cpu) / count


def bare_rendering(hand: HandModel, image_px: int) -> Callable[[int], object]:
    """Return a function that poses and renders a batch of hands, and nothing else."""
    renderer = Renderer(hand.faces, height=image_px, width=image_px)

    @torch.no_grad()
    def render(number: int) -> object:
        dice = Dice(BATCH, number, torch.device("cpu"))
        posed = hand(hand.sample_parameters(BATCH, generator=dice.generator))
        root_cam, K = place_hand(posed.vertices, dice, SynthOptions(image_px=image_px))
        return renderer(posed.vertices + root_cam[:, None], K, posed.appearance, draw_light(dice))

    return render


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    hand = load_hand("anny", texture_px=256)
    results = {}
    for image_px in (128, 224):
        synthesizer = Synthesizer(hand, options=SynthOptions(image_px=image_px))
        wall, cpu = measure(lambda number, s=synthesizer: s.make(number, BATCH), options.batches)
        bare_wall, bare_cpu = measure(bare_rendering(hand, image_px), options.batches)
        results[f"{image_px} px"] = {
            "images/s": round(1000 / wall, 1),
            "cpu ms per image": round(cpu, 2),
            "bare rendering, cpu ms per image": round(bare_cpu, 2),
            "wall, times the bare rendering": round(wall / bare_wall, 2),
        }
    report("synth_speed", {"threads": options.threads, "results": results}, options.json)


if __name__ == "__main__":
    main()
