"""Claim: parts of `prepare`, run in any order and killed at random moments, merge to the bytes of one run.

One undivided run is the reference. Then the parts run in a random order; each is killed (SIGKILL) `--kills` times, at a
moment sampled uniformly from the duration of an undisturbed part, and started again until it ends by itself. The merged
folder must equal that of the undivided run to the byte, and `verify` must find nothing.

Usage: python benchmarks/prepare_parts_kill.py [--parts 4] [--kills 2] [--json FILE]
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kill_common import contents
from reporting import report

RUN = """
import sys
from pathlib import Path
from hifihr_core.machine.parts import parse_part
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.sources.contract import Request
from hifihr_core.sources.table import find_source
from hifihr_core.synthesis.options import SynthOptions

out, part = Path(sys.argv[1]), parse_part(sys.argv[2])
options = {"count": 96, "options": SynthOptions(image_px=64, backgrounds=4)}
split = find_source("synth").open(Request(out, options=options))[0]
folder = out / "train" if part.of == 1 else out / part.name / "train"
pack_split(split, folder, policy=Policy(shard_bytes=8 * split.bytes_each, part=None if part.of == 1 else part))
"""


def start(out: Path, part: str) -> subprocess.Popen[bytes]:
    """Start packing a part."""
    return subprocess.Popen([sys.executable, "-c", RUN, str(out), part])


def pack_in_spite(out: Path, part: str, kills: int, length_s: float, dice: random.Random) -> int:
    """Pack a part that is killed the given number of times; return how many kills hit it at work."""
    met = 0
    for _ in range(kills):
        process = start(out, part)
        time.sleep(dice.uniform(0, length_s))
        met += process.poll() is None
        process.kill()
        process.wait()
    if start(out, part).wait():
        raise SystemExit(f"part {part} failed")
    return met


def main() -> None:
    """Run and report; exit code 1 if a byte differs."""
    from hifihr_core.shards.folder import verify
    from hifihr_core.shards.merging import merge_parts

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        whole, out, trial = Path(name) / "whole", Path(name) / "out", Path(name) / "trial"
        start(whole, "1/1").wait()
        begin = time.perf_counter()
        start(trial, f"1/{options.parts}").wait()
        length_s = time.perf_counter() - begin
        order = dice.sample(range(1, options.parts + 1), options.parts)
        met = sum(pack_in_spite(out, f"{n}/{options.parts}", options.kills, length_s, dice) for n in order)
        index = merge_parts(out)[out / "train"]
        same = contents(whole) == contents(out)
        differences = list(verify(out / "train"))
    row = {"order": order, "kills": options.parts * options.kills, "kills that met a running part": met}
    row |= {"shards": len(index.shards), "samples": index.samples, "the same bytes": same, "differences": differences}
    report("prepare_parts_kill", row, options.json)
    raise SystemExit(not same or bool(differences))


if __name__ == "__main__":
    main()
