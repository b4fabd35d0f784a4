"""Claim: a training stopped by SIGINT, SIGTERM or SIGKILL at any moment resumes to the same bits and leaves no stray
files.

One uninterrupted run is the reference. Then a run is stopped at a random moment and resumed, repeatedly until it ends
by itself, folder after folder, until each signal has been sent `--each` times. At the end the newest weights equal
those of the uninterrupted run in every tensor, and the folder contains no temporary file. Moments are sampled from the
duration of the uninterrupted run; `kill_common.py` explains how runs are started.

Usage: python benchmarks/train_kill.py [--each 20] [--steps 12] [--seed 0] [--json FILE]
"""

import os
import random
import tempfile
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork

import torch
from kill_common import Stops, finished_folders, parser_of, warm_up
from reporting import report
from safetensors.torch import load_file

HEAVY = ("hifihr_core.training.loop", "hifihr_core.stream.synthetic", "hifihr_core.models.table", "timm")

#: Nothing in a finished run folder has such a name.
LITTER = (".state-*", ".newest-*", ".best-*", ".metrics-*", ".report-*", ".tmp*")


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    warm_up(*HEAVY)
    dice, stops, equal, litter = random.Random(arguments.seed), Stops(), True, []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for run in finished_folders(partial(_lines, arguments.steps), place, dice, arguments.each, stops):
            equal &= _same(place / "whole", run)
            litter += [path.name for pattern in LITTER for path in run.rglob(pattern)]
    report("train_kill", {**stops.row(), "weights equal to the bit": equal, "files left over": litter}, arguments.json)
    raise SystemExit(bool(not equal or litter or stops.faults))


def _lines(steps: int, folder: Path) -> list[list[str]]:
    """Return the command line that starts a run, or resumes it."""
    settings = ("model.hand=anny", "model.backbone=mobilenetv3_small_050", "model.weights=none", "data.image_px=64")
    settings += ("data.workers=0", "data.validation_limit=4", "data.synth_epoch=32", "train.batch_size=4")
    settings += (f"train.max_steps={steps}", "train.schedule=constant", "train.save_every_steps=4")
    settings += ("train.pictures_every_steps=6", "model.texture_px=64")
    resume = ["--resume"] if (folder / "config.toml").exists() else []
    words = [word for setting in settings for word in ("--set", setting)]
    return [["train", *words, "--data", "synth", "--device", "cpu", "--out", str(folder), *resume]]


def _same(first: Path, second: Path) -> bool:
    """Return whether two runs have the same newest weights, to the bit."""
    a, b = (load_file(folder / "checkpoints" / "newest.safetensors") for folder in (first, second))
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


if __name__ == "__main__":
    main()
