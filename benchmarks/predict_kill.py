"""Claim: `predict` on a folder, ended by a signal at any moment, goes on with the rest and ends with the same files.

One undisturbed run is the measure. Then runs on the same photos are stopped at random moments and started again until
one ends by itself, folder after folder, until each signal was sent `--each` times. Every finished folder holds the same
files as the undisturbed one, to the byte (`hands.json` without its seconds), and no other, hidden ones included.

Usage: python benchmarks/predict_kill.py [--each 20] [--photos 6] [--seed 0] [--json FILE]
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a forked child has no other threads

import cv2
import torch
from kill_common import SIGNALS, Stops, run_whole, stop_until_done, warm_up
from reporting import report

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "hand.jpg"
HEAVY = ("hifihr_core.prediction.jobs", "hifihr_core.photos.detectors", "hifihr_core.eyes.networks")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--photos", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    warm_up(*HEAVY)
    dice, left, stops = random.Random(arguments.seed), Counter(dict.fromkeys(SIGNALS, arguments.each)), Stops()
    different: list[str] = []
    folders = 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        photos = _write_photos(place / "photos", arguments.photos)
        length = run_whole(_words(photos, place / "whole"), place / "errors")
        while any(left.values()):
            out = place / f"out{folders}"
            stop_until_done(partial(_words, photos, out), place / "errors", dice, length, left, stops)
            different += _differences(place / "whole", out)
            folders += 1
            print(f"{dict(stops.sent)}, {folders} folders, {different}", file=sys.stderr, flush=True)
    rows = {**stops.row(), "folders": folders, "files that differ": different}
    report("predict_kill", rows, arguments.json)
    raise SystemExit(bool(different or stops.faults))


def _words(photos: Path, out: Path) -> list[str]:
    return ["predict", str(photos), "--out", str(out), "--device", "cpu"]


def _write_photos(folder: Path, count: int) -> Path:
    """Write the example photo in sizes of its own, so that no two results are equal."""
    folder.mkdir()
    picture = cv2.imread(str(EXAMPLE))
    for number in range(count):
        size = 320 + 16 * number
        cv2.imwrite(
            str(folder / f"{number}.jpg"), cv2.resize(picture, (size, size * picture.shape[0] // picture.shape[1]))
        )
    return folder


def _differences(whole: Path, out: Path) -> list[str]:
    """Return the names of files that are not those of the undisturbed run."""
    first, second = _contents(whole), _contents(out)
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


def _contents(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    document = json.loads(str(found["hands.json"], "utf-8"))  # type: ignore[arg-type]
    for photo in document["photos"]:
        photo.pop("seconds")
    return {**found, "hands.json": sorted(document["photos"], key=lambda photo: photo["path"])}


if __name__ == "__main__":
    main()
