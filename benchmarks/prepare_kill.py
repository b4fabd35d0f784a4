"""Claim: stopped by a signal at any moment, `prepare` loses nothing finished and ends with the same bytes.

One uninterrupted run is the measure. Then runs are stopped by a signal at random moments and started again until one
ends by itself, folder after folder, `--kills` times in all for every source and signal. Finished shards never vanish,
every finished folder equals the uninterrupted one to the byte, and no process is left behind (workers must notice the
end of their parent).

Usage: python benchmarks/prepare_kill.py [--source freihand ...] [--signal KILL ...] [--kills 20] [--json FILE]
"""

import argparse
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from reporting import report

#: Source -> how its raw tree of a few dozen poses is written; `synth` reads none.
TREES = {
    "freihand": {"training": 60, "evaluation": 0},
    "ho3d": {"train": 40, "evaluation": 1},
    "rhd": {"training": 60, "evaluation": 1},
    "dart": {"parts": 2, "each": 20},
    "synth": None,
}
SIGNALS = ("KILL", "TERM", "INT")
RUN = """
import sys
from pathlib import Path
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.sources.contract import Request
from hifihr_core.sources.table import find_source
from hifihr_core.synthesis.options import SynthOptions

if __name__ == "__main__":
    name, root, out, workers = sys.argv[1:]
    options = {"count": 64, "options": SynthOptions(image_px=48, backgrounds=4)} if name == "synth" else {}
    split = find_source(name).open(Request(Path(root), options=options))[0]
    policy = Policy(workers=int(workers), shard_bytes=5 * split.bytes_each, force=True)
    pack_split(split, Path(out), policy=policy)
"""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", nargs="+", choices=list(TREES), default=list(TREES))
    parser.add_argument("--signal", nargs="+", choices=SIGNALS, default=list(SIGNALS))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = {}
        for source in arguments.source:
            for stop in arguments.signal:
                rows[f"{source} {stop}"] = _try(Path(name), source, getattr(signal, f"SIG{stop}"), arguments)
                print(f"{source} {stop}: {rows[f'{source} {stop}']}", flush=True)
    report("prepare_kill", rows, arguments.json)


def _try(folder: Path, source: str, stop: signal.Signals, arguments: argparse.Namespace) -> dict[str, object]:
    """Stop one source by one signal until it was stopped often enough."""
    dice = random.Random(f"{source} {stop}")
    place = folder / f"{source}-{stop.name}"
    if TREES[source] is not None:
        getattr(_raw_trees(), f"write_{source}")(place / "raw", **TREES[source])
    place.mkdir(exist_ok=True)
    script = place / "run.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), source, str(place / "raw")]
    started = time.monotonic()
    subprocess.run([*command, str(place / "whole"), str(arguments.workers)], check=True)
    length = time.monotonic() - started
    kept: list[list[int]] = []
    same = True
    while sum(map(len, kept)) < arguments.kills:
        out = place / f"out{len(kept)}"
        kept.append(_stop_until_done([*command, str(out), str(arguments.workers)], out, dice, length, stop))
        same &= _contents(out) == _contents(place / "whole")
    time.sleep(1)
    return {
        "stops": sum(map(len, kept)),
        "folders": len(kept),
        "never_fewer": all(counts == sorted(counts) for counts in kept),
        "same_bytes": same,
        "processes_left_behind": _left_behind(str(script)),
    }


def _stop_until_done(
    command: list[str], out: Path, dice: random.Random, length: float, stop: signal.Signals
) -> list[int]:
    """Stop a run at random moments until one ends by itself; return the finished shards after each stop."""
    kept: list[int] = []
    while True:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            if process.wait(dice.uniform(0.3, 1.0) * length) != 0:
                raise SystemExit(f"a run ended with {process.returncode}")
            return kept
        except subprocess.TimeoutExpired:
            process.send_signal(stop)
            process.wait()
            kept.append(len(list(out.glob("train*.h5"))))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _left_behind(script: str) -> int:
    """Return how many processes still run the script."""
    lines = [(Path("/proc") / pid / "cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    return sum(script in line.read_bytes().decode(errors="replace") for line in lines if line.exists())


def _raw_trees() -> ModuleType:
    """Return the writers of tiny raw trees that the tests use."""
    spec = importlib.util.spec_from_file_location("raw_trees", Path(__file__).parents[1] / "tests" / "raw_trees.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
