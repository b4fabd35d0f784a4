"""Question: what is each ingredient of the drawn pictures worth to the hand network?

A small set of hands is drawn and looked at per row: as `SynthOptions` draws by default, as `tools/draw_hands.py` draws
to learn from, and as that draws without one group of ingredients. Then one training per row, all from the same start
and of the same number of hands and steps. The start sees as the eyes do and lifts as the shipped lifter does.

Usage: python benchmarks/drawn_ingredients.py --held-out SEEN CLOSER --labelled FOLDER --out FOLDER [--rows plain ...]
[--have NAME SEEN CLOSER ...] [--hands 1024] [--steps 150] [--batch 32] [--json FILE]. `--have` adds a row whose hands
are there already; finished sets and rows are kept.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from hand_network_common import add_judges, learn_and_score, print_rows
from reporting import write

from draw_hands import BATCH, BATCHES, LEARNING  # isort: skip - hand_network_common finds the tools
from learning.closer_looks import look_closer
from learning.drawn_hands import DrawnHands, draw_chunk
from learning.feature_engine import BodyEngine
from learning.sightings import SPECTRUM_SHARE, see_chunk

from hifihr_core.eyes.engine import landmark_engine
from hifihr_core.files import write_atomically
from hifihr_core.hands import load_hand
from hifihr_core.synthesis.generator import Synthesizer
from hifihr_core.synthesis.options import SynthOptions

PLAIN, IMAGE_PX, SEED = SynthOptions(), 192, 29

#: Name of a row -> how its pictures are drawn, and the part of them with a jittered amplitude spectrum.
ROWS: dict[str, tuple[SynthOptions, float]] = {
    "plain": (PLAIN, 0.0),
    "all": (LEARNING, SPECTRUM_SHARE),
    "no spectrum": (LEARNING, 0.0),
    "no covers": (
        replace(LEARNING, sleeve=0.0, held_object=0.0, occluder=0.0, plain_occluder=0.0),
        SPECTRUM_SHARE,
    ),
    "no wide poses": (replace(LEARNING, wide_poses=0.0), SPECTRUM_SHARE),
    "nothing worn": (
        replace(LEARNING, second_hand=0.0, glove=0.0, ring=0.0, watch=0.0, true_motion=0.0),
        SPECTRUM_SHARE,
    ),
    "plain crop": (replace(LEARNING, fill=PLAIN.fill, shift=PLAIN.shift), SPECTRUM_SHARE),
}


def main() -> None:
    """Measure every row and print the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    sets = {name: tuple(Path(path).resolve() for path in (seen, closer)) for name, seen, closer in arguments.have}
    rows = {}
    for name in [*sets, *arguments.rows]:
        seen, closer = sets.get(name) or _made(out / name.replace(" ", "_"), *ROWS[name], hands=arguments.hands)
        words = ("--seen", seen, "--closer", closer, "--most", arguments.hands, "--steps", arguments.steps)
        words += ("--batch", arguments.batch, "--photo-share", 0, "--clean", 0)
        rows[name] = learn_and_score(out / f"{name.replace(' ', '_')}.safetensors", words, arguments)
        print_rows(rows)
    facts = {"hands": arguments.hands, "steps": arguments.steps, "batch": arguments.batch}
    write("drawn_ingredients", {"rows": rows, **facts}, arguments.json)


def _made(folder: Path, options: SynthOptions, spectrum_share: float, *, hands: int) -> tuple[Path, Path]:
    """Return the folders of `tools/see_hands.py` and `tools/see_closer.py` for a set of hands."""
    seen, closer = folder / "seen", folder / "closer"
    synthesizer = Synthesizer(load_hand("anny"), seed=SEED, options=replace(options, image_px=IMAGE_PX))
    eyes, body = landmark_engine(threads=1), BodyEngine()
    for chunk, drawn in _missing(seen, synthesizer, hands=hands):
        _write(
            closer / f"{chunk:05d}.closer.npz",
            look_closer(body, drawn, 1, [SEED, chunk], spectrum_share=spectrum_share),
        )
        _write(
            seen / f"{chunk:05d}.seen.npz",
            see_chunk(eyes, drawn, chunk, plain=False, spectrum_share=spectrum_share),
        )
    return seen, closer


def _missing(seen: Path, synthesizer: Synthesizer, *, hands: int) -> Iterator[tuple[int, DrawnHands]]:
    for chunk in range(-(-hands // (BATCH * BATCHES))):
        if not (seen / f"{chunk:05d}.seen.npz").exists():
            yield chunk, draw_chunk(synthesizer, chunk * BATCHES, BATCHES, BATCH)


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with write_atomically(path) as part:
        np.savez(part, **arrays)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_judges(parser)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--have", nargs=3, action="append", default=[], metavar=("NAME", "SEEN", "CLOSER"))
    parser.add_argument("--hands", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
