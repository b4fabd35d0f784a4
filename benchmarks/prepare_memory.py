"""Claim: `prepare freihand` at full size stays within 1.5 GiB, over all processes.

A generated FreiHAND of 32,560 x 4 pictures with a `training_verts.json` of 1.5 GB, prepared by the command line with
worker processes. Every 50 ms the memory of the whole process tree is summed: resident (shared pages count for each
process) and proportional (shared pages count once).

Usage: python benchmarks/prepare_memory.py [--poses 32560] [--workers 2] [--json FILE]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data_common import write_freihand
from reporting import report

COMMAND = "from hifihr_cli.start import run; run()"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=int, default=32_560)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name) / "raw", Path(name) / "out"
        write_freihand(raw, arguments.poses)
        words = ["prepare", "freihand", "--root", raw, "--out", out, "--workers", arguments.workers]
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *map(str, words)], stdout=subprocess.DEVNULL)
        resident, proportional, processes = _watch(process)
        seconds = time.monotonic() - started
        report(
            "prepare_memory",
            {
                "exit_code": process.returncode,
                "images": 4 * arguments.poses,
                "workers": arguments.workers,
                "verts_json_bytes": (raw / "training_verts.json").stat().st_size,
                "shards": len(list(out.rglob("*.h5"))),
                "seconds": round(seconds, 1),
                "peak_resident_mib": round(resident / 2**20),
                "peak_proportional_mib": round(proportional / 2**20),
                "most_processes": processes,
            },
            arguments.json,
        )


def _watch(process: subprocess.Popen) -> tuple[int, int, int]:
    """Return the peaks of (resident, proportional, number of processes) until the command ends."""
    peaks = [0, 0, 0]
    while process.poll() is None:
        rows = [row for pid in _tree(process.pid) if (row := _memory(pid))]
        now = (sum(rss for rss, _ in rows), sum(pss for _, pss in rows), len(rows))
        peaks = [max(pair) for pair in zip(peaks, now, strict=True)]
        time.sleep(0.05)
    return tuple(peaks)


def _tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _memory(pid: int) -> tuple[int, int] | None:
    """Return (resident, proportional) bytes of a process, or None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    fields = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:] if line.endswith("kB")}
    return fields.get("Rss", 0), fields.get("Pss", 0)


if __name__ == "__main__":
    main()
