"""Claim: ended by SIGINT, SIGTERM or SIGKILL at any moment, a training resumes to the same bits and leaves no litter.

One uninterrupted run is the measure. Then a run is ended at a random moment and resumed, again and again until it ends
by itself, folder after folder, until each signal was sent `--each` times. At the end the newest weights equal those of
the uninterrupted run in every tensor, and the folder holds no temporary file. Moments are drawn over the first four
fifths of the time that the uninterrupted run took, start of the interpreter included.

Usage: python benchmarks/train_kill.py [--each 20] [--steps 24] [--json FILE]
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from reporting import report
from safetensors.torch import load_file

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)

#: Nothing of a finished run folder has a name like this.
LITTER = (".state-*", ".newest-*", ".best-*", ".metrics-*", ".report-*", ".tmp*")


def command(folder: Path, steps: int, *, resume: bool) -> list[str]:
    """Return the command line of the run in a folder, from its beginning or from where it stopped."""
    settings = ("model.hand=anny", "model.backbone=mobilenetv3_small_050", "model.weights=none", "data.image_px=64")
    settings += ("data.workers=0", "data.validation_limit=4", "data.synth_epoch=32", "train.batch_size=4")
    settings += (f"train.max_steps={steps}", "train.schedule=constant", "train.save_every_steps=4")
    settings += ("train.pictures_every_steps=6", "model.texture_px=64")
    words = [word for setting in settings for word in ("--set", setting)]
    words += ["--data", "synth", "--device", "cpu", "--out", str(folder)]
    return [sys.executable, "-m", "hifihr_cli", "train", *words, *(["--resume"] if resume else [])]


def run_until_ended(folder: Path, steps: int, dice: random.Random, length: float, left: dict[str, int]) -> int:
    """Run, interrupt and resume until the run ends by itself; return how often it was interrupted."""
    count = 0
    while True:
        resume = (folder / "config.toml").exists()
        process = subprocess.Popen(
            command(folder, steps, resume=resume), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        wanted = [name for name, number in left.items() if number > 0]
        if wanted:
            try:
                process.wait(dice.uniform(0.1, 0.8) * length)
            except subprocess.TimeoutExpired:
                name = dice.choice(wanted)
                process.send_signal(signal.Signals[name])
                left[name] -= 1
                count += 1
        _, errors = process.communicate()
        if process.returncode == 0:
            return count
        if process.returncode not in (130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
            raise SystemExit(f"exit code {process.returncode}\n{errors}")


def same(first: Path, second: Path) -> bool:
    """Return whether two runs have the same newest weights, to the bit."""
    a, b = (load_file(folder / "checkpoints" / "newest.safetensors") for folder in (first, second))
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    dice, left = random.Random(0), {number.name: arguments.each for number in SIGNALS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        subprocess.run(command(folder / "whole", arguments.steps, resume=False), check=True, capture_output=True)
        length = time.monotonic() - started
        interruptions, equal, litter = [], True, []
        while any(left.values()):
            run = folder / f"run-{len(interruptions)}"
            interruptions.append(run_until_ended(run, arguments.steps, dice, length, left))
            equal &= same(folder / "whole", run)
            litter += [path.name for pattern in LITTER for path in run.rglob(pattern)]
            print(f"{sum(interruptions)} interruptions, equal: {equal}", file=sys.stderr)
    report(
        "train_kill",
        {
            "signals of each kind": arguments.each,
            "interruptions": sum(interruptions),
            "runs that ended": len(interruptions),
            "weights equal to the bit": equal,
            "files left over": len(litter),
        },
        arguments.json,
    )
    raise SystemExit(0 if equal and not litter else 1)


if __name__ == "__main__":
    main()
