"""Run the landmark network on rendered pictures, and store its output with the ground truth.

    python tools/see_hands.py learn/drawn --out learn/seen --minutes 60
    python tools/see_hands.py learn/held_out --out learn/held_out_seen --plain

`--plain` is for test pictures: the spectrum is not jittered, and the eyes find the hand in its box and take five looks.
Existing results are kept; with `--minutes` the run waits that long for further chunks.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from learning.chunk_loop import look_at_chunks, number_of
from learning.drawn_hands import read_drawn
from learning.sightings import see_chunk

from hifihr_core.eyes.engine import landmark_engine


def main() -> None:
    """Process all chunks without a result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drawn", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    engine = landmark_engine(threads=1)

    def look(path: Path) -> dict[str, np.ndarray]:
        return see_chunk(engine, read_drawn(path), number_of(path), plain=arguments.plain)

    look_at_chunks(arguments.drawn, arguments.out, "seen", look, minutes=arguments.minutes)


if __name__ == "__main__":
    main()
