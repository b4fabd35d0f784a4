"""Claim: killed (SIGKILL) at any moment, `prepare` loses nothing finished and ends with the same bytes.

One uninterrupted run is the measure. Then runs are killed at random moments and started again until one ends by
itself, folder after folder, `--kills` times in all. Finished shards never vanish, every finished folder equals the
uninterrupted one to the byte, and no process is left behind (workers must notice the end of their parent).

Usage: python benchmarks/prepare_kill.py [--kills 20] [--poses 1000] [--workers 2] [--json FILE]
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data_common import write_freihand
from reporting import report

from hifihr_core.sources.contract import Request
from hifihr_core.sources.freihand import FREIHAND

RUN = """
import sys
from pathlib import Path
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.sources.contract import Request
from hifihr_core.sources.freihand import FREIHAND

if __name__ == "__main__":
    (split,) = FREIHAND.open(Request(Path(sys.argv[1])))
    pack_split(split, Path(sys.argv[2]), policy=Policy(workers=int(sys.argv[3]), shard_bytes=int(sys.argv[4])))
"""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--poses", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_freihand(folder / "raw", arguments.poses)
        (split,) = FREIHAND.open(Request(folder / "raw"))
        script = folder / "run.py"
        script.write_text(RUN)
        command = [sys.executable, str(script), str(folder / "raw")]
        tail = [str(arguments.workers), str(20 * split.bytes_each)]
        started = time.monotonic()
        subprocess.run([*command, str(folder / "whole"), *tail], check=True)
        length = time.monotonic() - started
        kept: list[list[int]] = []
        same = True
        while sum(map(len, kept)) < arguments.kills:
            out = folder / f"out{len(kept)}"
            kept.append(_kill_until_done([*command, str(out), *tail], out, dice, length))
            same &= _contents(out) == _contents(folder / "whole")
        time.sleep(1)
        left = _left_behind(str(script))
    report(
        "prepare_kill",
        {
            "kills": sum(map(len, kept)),
            "folders": len(kept),
            "workers": arguments.workers,
            "shards_after_each_kill": kept,
            "never_fewer": all(counts == sorted(counts) for counts in kept),
            "same_bytes": same,
            "processes_left_behind": left,
        },
        arguments.json,
    )


def _kill_until_done(command: list[str], out: Path, dice: random.Random, length: float) -> list[int]:
    """Kill a run at random moments until one ends by itself; return the finished shards after each kill."""
    kept = []
    while True:
        process = subprocess.Popen(command)
        try:
            if process.wait(dice.uniform(0, length)) != 0:
                raise SystemExit(f"a run ended with {process.returncode}")
            return kept
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kept.append(len(list(out.glob("train*.h5"))))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _left_behind(script: str) -> int:
    """Return how many processes still run the script."""
    lines = [(Path("/proc") / pid / "cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    return sum(script in line.read_bytes().decode(errors="replace") for line in lines if line.exists())


if __name__ == "__main__":
    main()
