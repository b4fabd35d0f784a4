"""Claim: stopped by a signal at any moment, `prepare` loses nothing finished and ends with the same bytes.

One uninterrupted run of every source is the measure. Then runs are stopped by a signal at random moments and started
again until one ends by itself, folder after folder, until each signal was sent `--each` times; every start packs in its
own process or with two workers, as chance decides. Finished shards never vanish, every finished folder equals the
uninterrupted one to the byte, hidden files included, and no process is left behind.

Usage: python benchmarks/prepare_kill.py [--source freihand ...] [--each 20] [--seed 0] [--json FILE]
"""

import argparse
import importlib.util
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import ModuleType

os.environ["OMP_NUM_THREADS"] = "1"  # a forked child has no other threads

import cv2
import torch
from kill_common import SIGNALS, Stops, processes_left, run_whole, stop_until_done, warm_up
from reporting import report

ROOT = Path(__file__).resolve().parent.parent
#: Source -> how its raw tree of a few dozen poses is written, where `tests/raw_trees.py` writes it.
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
#: About five poses of any source in a shard, so that there are shards to lose.
SHARD_BYTES = 100_000


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", nargs="+", choices=list(TREES), default=list(TREES))
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    warm_up(*HEAVY, *(f"hifihr_core.sources.{source}" for source in arguments.source))
    _small_shards()
    rows, bad = {}, False
    with tempfile.TemporaryDirectory() as name:
        for source in arguments.source:
            rows[source] = _try(
                Path(name) / source, source, arguments.each, random.Random(f"{source} {arguments.seed}")
            )
            print(f"{source}: {rows[source]}", flush=True)
            bad |= bool(rows[source]["faults"] or rows[source]["files that differ"])
    report("prepare_kill", rows, arguments.json)
    raise SystemExit(bad)


def _small_shards() -> None:
    """Let the command line, which has no such option, pack small shards."""
    from hifihr_core.shards import packing

    packing.Policy = partial(packing.Policy, shard_bytes=SHARD_BYTES)  # type: ignore[assignment, misc]


def _try(place: Path, source: str, each: int, dice: random.Random) -> dict[str, object]:
    """Stop one source until every signal was sent often enough."""
    _write_raw(place / "raw", source)
    lines = partial(_lines, source, place / "raw")
    errors = place / "errors"
    length = run_whole(lines(place / "whole")[0], errors)
    left, stops = Counter(dict.fromkeys(SIGNALS, each)), Stops()
    different: list[str] = []
    folders = 0
    while any(left.values()):
        out = place / f"out{folders}"
        stop_until_done(lambda out=out: dice.choice(lines(out)), errors, dice, length, left, stops, cold_every=0)
        different += _differences(place / "whole", out)
        folders += 1
        print(f"{source}: {dict(stops.sent)}, {folders} folders", file=sys.stderr, flush=True)
    time.sleep(2)
    left_behind = processes_left(str(place))
    return {**stops.row(), "folders": folders, "files that differ": different, "processes left behind": left_behind}


def _lines(source: str, raw: Path, out: Path) -> list[list[str]]:
    words = ["prepare", source, "--root", str(raw), "--out", str(out), "--force", *OPTIONS.get(source, [])]
    return [[*words, "--workers", workers] for workers in ("0", "2")]


def _write_raw(root: Path, source: str) -> None:
    root.mkdir(parents=True)
    if source == "images":
        for number in range(8):
            shutil.copyfile(ROOT / "examples" / "hand.jpg", root / f"{number}.jpg")
    elif (options := TREES[source]) is not None:
        getattr(_raw_trees(), f"write_{source}")(root, **options)


def _differences(whole: Path, out: Path) -> list[str]:
    """Return the names of files that are not those of the undisturbed run."""
    first, second = _contents(whole), _contents(out)
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _raw_trees() -> ModuleType:
    """Return the writers of tiny raw trees that the tests use."""
    spec = importlib.util.spec_from_file_location("raw_trees", ROOT / "tests" / "raw_trees.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
