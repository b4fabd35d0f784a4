"""Claim: stopped by a signal at any moment, `prepare` loses nothing finished and ends with the same bytes.

One uninterrupted run of every source is the reference. Then runs are stopped by a signal at random moments and started
again until one ends by itself, folder after folder, until each signal has been sent `--each` times; every start packs
in its own process or with two workers, at random. Finished shards never vanish, every finished folder equals the
uninterrupted one to the byte, hidden files included, and no process is left behind.

Usage: python benchmarks/prepare_kill.py [--source freihand ...] [--each 20] [--seed 0] [--json FILE]
"""

import os
import random
import shutil
import tempfile
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork

from data_common import ROOT, raw_trees
from kill_common import Stops, contents, differing, finished_folders, parser_of, processes_left, warm_up
from reporting import report

#: Source -> how `tests/raw_trees.py` writes a small download of a few dozen poses.
TREES = {
    "freihand": {"training": 60, "evaluation": 0},
    "ho3d": {"train": 40, "evaluation": 1},
    "rhd": {"training": 60, "evaluation": 1},
    "dart": {"parts": 2, "each": 20},
    "images": None,
    "synth": None,
}
#: Source -> options of its command line.
OPTIONS = {"synth": ["--count", "40"], "images": ["--detector", "fast"]}
HEAVY = ("hifihr_core.sources.prepare", "hifihr_core.synthesis.options", "hifihr_core.eyes.networks")
#: Entries of the report that must be empty or zero.
BAD = ("faults", "files that differ", "processes left behind")
#: About five poses of any source per shard, so that there are shards to lose.
SHARD_BYTES = 100_000


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__)
    parser.add_argument("--source", nargs="+", choices=list(TREES), default=list(TREES))
    arguments = parser.parse_args()
    warm_up(*HEAVY, *(f"hifihr_core.sources.{source}" for source in arguments.source))
    _small_shards()
    rows, bad = {}, False
    with tempfile.TemporaryDirectory() as name:
        for source in arguments.source:
            rows[source] = _try(
                Path(name) / source, source, arguments.each, random.Random(f"{source} {arguments.seed}")
            )
            print(f"{source}: {rows[source]}", flush=True)
            bad |= any(rows[source][name] for name in BAD)
    report("prepare_kill", rows, arguments.json)
    raise SystemExit(bad)


def _small_shards() -> None:
    """Make the command line pack small shards, for which it has no option."""
    from hifihr_core.shards import packing

    packing.Policy = partial(packing.Policy, shard_bytes=SHARD_BYTES)  # type: ignore[assignment, misc]


def _try(place: Path, source: str, each: int, dice: random.Random) -> dict[str, object]:
    """Stop one source until every signal has been sent often enough."""
    _write_raw(place / "raw", source)
    stops, different = Stops(), []
    for out in finished_folders(partial(_lines, source, place / "raw"), place, dice, each, stops, cold_every=0):
        different += differing(contents(place / "whole"), contents(out))
    left_behind = processes_left(stops)
    return {**stops.row(), "files that differ": different, "processes left behind": left_behind}


def _lines(source: str, raw: Path, out: Path) -> list[list[str]]:
    words = ["prepare", source, "--root", str(raw), "--out", str(out), "--force", *OPTIONS.get(source, [])]
    return [[*words, "--workers", workers] for workers in ("0", "2")]


def _write_raw(root: Path, source: str) -> None:
    root.mkdir(parents=True)
    if source == "images":
        for number in range(8):
            shutil.copyfile(ROOT / "examples" / "hand.jpg", root / f"{number}.jpg")
    elif (options := TREES[source]) is not None:
        getattr(raw_trees(), f"write_{source}")(root, **options)


if __name__ == "__main__":
    main()
