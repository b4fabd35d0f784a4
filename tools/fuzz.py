"""Damage small valid files of every kind that hifihr reads; check that each is read or rejected in one line.

    python tools/fuzz.py                    # some thousand files, at most three minutes
    python tools/fuzz.py --count 5000 --minutes 60 --seed 7 --only shard

Anything else is a failure (exit code 1): another exception, a crash, more than 20 s or 2 GiB for a file. A failure is
identified by reader, seed and number; `--only READER --seed SEED --first NUMBER --count 1` reproduces it. The same seed
gives the same files.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork

import cv2
import torch
from fuzzing.guard import Tally, run_reader
from fuzzing.readers import READERS


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=220, help="damaged files per reader")
    parser.add_argument("--minutes", type=float, default=3.0, help="stop after this many minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--only", action="append", choices=list(READERS), help="one reader; may be repeated")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    names = arguments.only or list(READERS)
    deadline, tallies = time.monotonic() + 60 * arguments.minutes, {}
    for place, name in enumerate(names):
        left = deadline - time.monotonic()
        # Time that one reader does not use is left to the others.
        share = time.monotonic() + max(1.0, left / (len(names) - place))
        tallies[name] = run_reader(
            name,
            READERS[name],
            first=arguments.first,
            count=arguments.first + arguments.count,
            seed=arguments.seed,
            deadline=share,
        )
        _print(name, tallies[name])
    failures = [failure for tally in tallies.values() for failure in tally.failures]
    print(f"{sum(tally.files for tally in tallies.values()):,} files, {len(failures)} failures")
    if arguments.json:
        arguments.json.write_text(json.dumps({name: vars(tally) for name, tally in tallies.items()}, indent=1))
    return bool(failures)


def _print(name: str, tally: Tally) -> None:
    peak = tally.peak_bytes / 2**20
    print(
        f"{name:16} {tally.files:6,} files {tally.refused:6,} refused {tally.read:6,} read {peak:6.0f} MiB", flush=True
    )
    for failure in tally.failures:
        print(f"    {failure}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
