"""Render training pictures of the free hand in chunks; a later run continues with the next chunk.

    python tools/draw_hands.py --out learn/drawn --count 30000 --minutes 60
    python tools/draw_hands.py --out learn/held_out --count 2048 --plain --seed 1000003 --image-px 224

Each chunk is a pure function of the seed, its number and the options. `--plain` uses the defaults of `SynthOptions`,
for test pictures; without it the ranges are wider (`LEARNING`).
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from learning.drawn_hands import draw_chunk, write_drawn

from hifihr_core.hands import load_hand
from hifihr_core.synthesis.generator import Synthesizer
from hifihr_core.synthesis.options import SynthOptions

BATCH, BATCHES = 16, 16
#: Training pictures: hands of all sizes in the crop, cut by its border, in wider poses, behind more objects, beside a
#: second hand, moving, and with rings, watches and gloves.
LEARNING = SynthOptions(
    fill=(0.4, 1.05),
    shift=0.12,
    sleeve=0.5,
    held_object=0.35,
    occluder=0.4,
    plain_occluder=0.4,
    wide_poses=0.35,
    second_hand=0.15,
    glove=0.06,
    ring=0.12,
    watch=0.12,
    true_motion=0.08,
)


def main() -> None:
    """Render all missing chunks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=30_000)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--image-px", type=int, default=192)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--photos", type=Path, default=None, help="folder of additional backgrounds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = replace(SynthOptions() if arguments.plain else LEARNING, image_px=arguments.image_px)
    options = replace(options, photos=arguments.photos)
    synthesizer = Synthesizer(load_hand("anny"), seed=arguments.seed, options=options)
    began = time.monotonic()
    for chunk in range(-(-arguments.count // (BATCH * BATCHES))):
        path = arguments.out / f"{chunk:05d}.drawn.npz"
        if path.exists():
            continue
        if arguments.minutes is not None and time.monotonic() - began > 60 * arguments.minutes:
            break
        write_drawn(path, draw_chunk(synthesizer, chunk * BATCHES, BATCHES, BATCH))
        print(f"{path.name}: {(time.monotonic() - began) / 60:.1f} min", flush=True)


if __name__ == "__main__":
    main()
