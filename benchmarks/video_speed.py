"""How fast clips are processed, the latency of live hands, and whether memory grows.

    python benchmarks/video_speed.py clip.mp4 --frames 300 --memory-frames 2000

The clip is played in a loop, resized to 720 rows. Frames per second are given in processor time of one thread and by
the clock: on a busy machine the former shows what an idle core would do.
"""

import argparse
import itertools
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from reporting import report

from hifihr_core.geometry.lenses import default_focal_px, ideal_K
from hifihr_core.placed_hands import default_light
from hifihr_core.prediction.load_models import LoadedModels, load_models
from hifihr_core.records import Appearance
from hifihr_core.video.live.live_hands import LiveHands
from hifihr_core.video.live.live_lines import _hand
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.reading.frames import Frame
from hifihr_core.video.tracking.tracker import LIVE_TRACKING, Tracker
from hifihr_core.video.tracking.watching import QuickEyes
from hifihr_core.video.writing.hand_painter import HandPainter

_ROWS = 720


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--memory-frames", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    models = load_models(None, device=torch.device("cpu"))
    values: dict[str, object] = {"one thread, no overlay": _run(arguments, models, overlay=False)}
    values["one thread, with overlay"] = _run(arguments, models, overlay=True)
    if arguments.memory_frames:
        values["memory"] = _memory(arguments, models)
    report("video_speed", values, arguments.json)


def _run(arguments: argparse.Namespace, models: LoadedModels, *, overlay: bool) -> dict[str, object]:
    """Return rates and latencies; decoding and resizing are not counted, as the goal is from the decoded frame on."""
    frames = list(itertools.islice(_looped(arguments.clip), min(arguments.frames, 200)))
    hands = _live(models, frames[0].image, arguments.threads)
    painter = _painter(models) if overlay else None
    walls, processors, shown = [], [], 0
    for number in range(arguments.frames):
        frame = frames[number % len(frames)]
        wall, processor = time.perf_counter(), time.process_time()
        found = hands.step(frame.image, number / 30)
        line = json.dumps([_hand(hand) for hand in found])
        if painter is not None:
            canvas = frame.image.copy()
            for hand in found:
                painter.paint(canvas, hand.vertices_cam, hands.K)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
        shown += len(found) * bool(line)
    return {
        "hands_per_frame": round(shown / arguments.frames, 2),
        "frames_per_s_of_processor": round(1 / float(np.mean(processors[20:])), 1),
        "frames_per_s_on_the_clock": round(1 / float(np.mean(walls[20:])), 1),
        "latency_ms_processor_median_p95": [
            round(1000 * float(v), 1) for v in np.percentile(processors[20:], (50, 95))
        ],
        "latency_ms_clock_median_p95": [round(1000 * float(v), 1) for v in np.percentile(walls[20:], (50, 95))],
    }


def _memory(arguments: argparse.Namespace, models: LoadedModels) -> dict[str, object]:
    """Return the peak memory after a quarter and after all of many frames, decoded one by one."""
    looped = _looped(arguments.clip)
    hands, peaks = _live(models, next(looped).image, arguments.threads), []
    for number, frame in enumerate(itertools.islice(looped, arguments.memory_frames)):
        hands.step(frame.image, number / 30)
        if number + 1 in (arguments.memory_frames // 4, arguments.memory_frames):
            peaks.append(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    return {"frames": arguments.memory_frames, "peak_mib_after_a_quarter_and_all": peaks}


def _live(models: LoadedModels, image: np.ndarray, threads: int) -> LiveHands:
    height, width = image.shape[:2]
    K = ideal_K(default_focal_px(width, height), width, height)
    assert models.lifter is not None
    tracker = Tracker(QuickEyes.load(threads=threads), LIVE_TRACKING)
    return LiveHands(models.hand, models.lifter, tracker, K, width)


def _painter(models: LoadedModels) -> HandPainter:
    posed = models.hand(models.hand.mean_parameters())
    albedo = posed.appearance or Appearance(torch.full_like(posed.vertices, 0.7))
    return HandPainter(models.hand.faces.long().numpy(), albedo, default_light(posed.joints))


def _looped(path: Path) -> Iterator[Frame]:
    while True:
        for frame in VideoFile(path).frames():
            scale = _ROWS / frame.image.shape[0]
            image = frame.image if scale == 1 else cv2.resize(frame.image, None, fx=scale, fy=scale)
            yield Frame(frame.number, frame.time_s, image)


if __name__ == "__main__":
    main()
