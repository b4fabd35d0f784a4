"""Question: what fraction of the hand network's training hands should be in real photos?

One training per fraction, all from the same start and with the same number of steps and hands, scored on rendered hands
and on labelled photos of people who are in no training set. The start has the weights of the eyes and of the shipped
lifter.

Usage: python benchmarks/photo_shares.py --seen S --closer C --photos P --held-out SEEN CLOSER --labelled FOLDER
--out FOLDER [--shares 0 0.25 0.5] [--steps 500] [--batch 40] [--json FILE]. Folders are those of tools/see_hands.py,
see_closer.py and see_photos.py (docs/reproduce.md); finished rows are kept.
"""

import argparse
from pathlib import Path

from hand_network_common import add_judges, learn_and_score, print_rows
from reporting import write


def main() -> None:
    """Measure every fraction and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seen", type=Path, nargs="+", required=True)
    parser.add_argument("--closer", type=Path, nargs="+", required=True)
    parser.add_argument("--photos", type=Path, required=True)
    add_judges(parser)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.25, 0.5])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    hands: tuple[object, ...] = ("--seen", *_whole(arguments.seen), "--closer", *_whole(arguments.closer))
    hands += ("--photos", arguments.photos.resolve())
    length = ("--steps", arguments.steps, "--batch", arguments.batch, "--clean", 0)
    rows = {}
    for share in arguments.shares:
        words = (*hands, *length, "--photo-share", share)
        rows[f"{share:.0%} photos"] = learn_and_score(out / f"share-{share}.safetensors", words, arguments)
        print_rows(rows)
    write("photo_shares", {"rows": rows, "steps": arguments.steps, "batch": arguments.batch}, arguments.json)


def _whole(paths: list[Path]) -> tuple[Path, ...]:
    return tuple(path.resolve() for path in paths)


if __name__ == "__main__":
    main()
