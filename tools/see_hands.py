"""Let the landmark network look at drawn pictures, and keep what it says beside the truth.

    python tools/see_hands.py learn/drawn --out learn/seen --minutes 60
    python tools/see_hands.py learn/held_out --out learn/held_out_seen --plain

`--plain` is for pictures to measure on: no jitter of the spectrum, and the eyes find the hand in its box and
take five looks.
Chunks that are there already are left as they are; with `--minutes` the run waits for further ones until then.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from learning.drawn_hands import chunk_paths, read_drawn
from learning.sightings import see_chunk

from hifihr_core.eyes.engine import Engine, landmark_engine
from hifihr_core.files import write_atomically


def main() -> None:
    """See every chunk that has not been seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drawn", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    engine = landmark_engine(threads=1)
    ends = time.monotonic() + 60 * arguments.minutes
    while True:
        for path in chunk_paths(arguments.drawn, "drawn"):
            _see_file(engine, path, arguments.out / path.name.replace("drawn", "seen"), plain=arguments.plain)
        if time.monotonic() > ends:
            break
        time.sleep(10)


def _see_file(engine: Engine, path: Path, out: Path, *, plain: bool) -> None:
    if out.exists():
        return
    began, seed = time.monotonic(), int(path.name.split(".")[0])
    seen = see_chunk(engine, read_drawn(path), seed, plain=plain)
    with write_atomically(out) as part:
        np.savez(part, **seen)
    print(f"{out.name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
