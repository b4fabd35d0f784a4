"""How fast the synthetic generator makes training batches, and the cost of its steps.

Usage: python benchmarks/synth_speed.py [--threads 2] [--processes 2] [--batches 4] [--json FILE]

Wall time and processor time per image at 128 and 224 px, batches of 32, free hand with a 256 px texture, after a
warm-up batch. The ratio is relative to bare rendering of the same hands by the same renderer. With `--processes`, that
many single-threaded processes render at the same time, as in training and `prepare synth`; 1 is measured for
comparison, so that the ratio shows how they scale.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch
from reporting import report

from hifihr_core.hands import HandModel, load_hand
from hifihr_core.rendering import Renderer
from hifihr_core.stream.synthetic import start_worker
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


def draw_alone(image_px: int, batches: int, barrier: Barrier, spans: Queue) -> None:
    """Render batches in this process like a training worker; report begin, end and processor time."""
    start_worker(0)
    synthesizer = Synthesizer(load_hand("anny", texture_px=256), options=SynthOptions(image_px=image_px))
    synthesizer.make(0, BATCH)
    barrier.wait()
    begin, cpu = time.perf_counter(), time.process_time()
    for number in range(1, batches + 1):
        synthesizer.make(number, BATCH)
    spans.put((begin, time.perf_counter(), time.process_time() - cpu))


def draw_together(processes: int, image_px: int, batches: int) -> dict[str, float]:
    """Return images per second by the clock, from the common start to the end of the last, and per core-second."""
    context = multiprocessing.get_context("spawn")
    barrier, spans = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=draw_alone, args=(image_px, batches, barrier, spans)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    begins, ends, cpu = zip(*(spans.get() for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    count = processes * batches * BATCH
    return {
        "images/s": round(count / (max(ends) - min(begins)), 1),
        "images per core-second": round(count / sum(cpu), 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.processes:
        found = {n: draw_together(n, 224, options.batches) for n in sorted({1, options.processes})}
        report("synth_speed", {"224 px, by number of processes": found}, options.json)
        return
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
