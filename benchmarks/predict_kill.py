"""Claim: `predict` on a folder, stopped by a signal at any moment, resumes and ends with the same files.

One undisturbed run is the reference. Then runs on the same photos are stopped at random moments and started again until
one ends by itself, folder after folder, until each signal has been sent `--each` times. Every finished folder contains
the same files as the undisturbed one, to the byte (`hands.json` without its times), and no others, not even hidden
ones.

Usage: python benchmarks/predict_kill.py [--each 20] [--photos 6] [--seed 0] [--json FILE]
"""

import json
import os
import random
import tempfile
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork

import cv2
from kill_common import Stops, contents, differing, finished_folders, parser_of, warm_up
from reporting import report

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "hand.jpg"
HEAVY = ("hifihr_core.prediction.jobs", "hifihr_core.photos.detectors", "hifihr_core.eyes.networks")


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__)
    parser.add_argument("--photos", type=int, default=6)
    arguments = parser.parse_args()
    warm_up(*HEAVY)
    dice, stops, different = random.Random(arguments.seed), Stops(), []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        lines = partial(_lines, _write_photos(place / "photos", arguments.photos))
        for out in finished_folders(lines, place, dice, arguments.each, stops):
            different += differing(_results(place / "whole"), _results(out))
    report("predict_kill", {**stops.row(), "files that differ": different}, arguments.json)
    raise SystemExit(bool(different or stops.faults))


def _lines(photos: Path, out: Path) -> list[list[str]]:
    return [["predict", str(photos), "--out", str(out), "--device", "cpu"]]


def _write_photos(folder: Path, count: int) -> Path:
    """Write the example photo in different sizes, so that no two results are equal."""
    folder.mkdir()
    picture = cv2.imread(str(EXAMPLE))
    for number in range(count):
        size = 320 + 16 * number
        cv2.imwrite(
            str(folder / f"{number}.jpg"), cv2.resize(picture, (size, size * picture.shape[0] // picture.shape[1]))
        )
    return folder


def _results(folder: Path) -> dict[str, object]:
    """Return the files of a folder, with `hands.json` as its photos by path, without their times."""
    found = contents(folder)
    photos = json.loads(found["hands.json"])["photos"]
    for photo in photos:
        photo.pop("seconds")
    return {**found, "hands.json": sorted(photos, key=lambda photo: photo["path"])}


if __name__ == "__main__":
    main()
