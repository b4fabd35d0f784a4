"""Claim: a bare `train` command does not make the shipped network worse, and starts quickly.

1. `prepare synth --as freihand --count 64` and `prepare freihand` in a new folder, with 128 held-out hands from
   another seed. Then, from the start of a bare `hifihr train --supervision LEVEL`, with and without the picture:
2. every validation score before and after a number of steps;
3. processor time and time to the first step, from the start of the process, seconds.

Usage: python benchmarks/bare_training.py --out FOLDER [--steps 100] [--levels self weak] [--set NAME=VALUE ...]
[--json FILE]. Finished rows are kept, so a stopped run can be resumed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kept_rows import named
from reporting import write

HELD_OUT, HELD_OUT_SEED = 128, 71


def main() -> None:
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--levels", nargs="+", default=["self", "weak"])
    parser.add_argument(
        "--set", nargs="*", default=[], help="settings of every run, as `hifihr train --set` takes them"
    )
    parser.add_argument("--row", nargs=2, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.row is not None:
        _measure(arguments.out, arguments.steps, *arguments.row, arguments.set)
        return
    data = _data(arguments.out, "train", 64, 0), _data(arguments.out, "held_out", HELD_OUT, HELD_OUT_SEED)
    rows = []
    for level in arguments.levels:
        for picture in ("with", "without"):
            path = named(arguments.out / f"{level}-{picture}-{arguments.steps}.json", *arguments.set)
            if not path.exists():
                environment = {**os.environ, "HIFIHR_DATA": str(data[0])}
                row = ["--row", level, picture, "--out", str(arguments.out), "--steps", str(arguments.steps)]
                row += ["--set", *arguments.set]
                subprocess.run([sys.executable, __file__, *row], check=True, env=environment)
            rows.append(json.loads(path.read_text(encoding="utf-8")))
            _print(rows[-1])
    write("bare_training", {"rows": rows}, arguments.json)


def _data(out: Path, name: str, count: int, seed: int) -> Path:
    root = (out / name).resolve()
    if not (root / "shards").exists():
        environment = {**os.environ, "HIFIHR_DATA": str(root)}
        for words in (f"synth --as freihand --count {count} --seed {seed}", "freihand"):
            command = [sys.executable, "-m", "hifihr_cli", "prepare", *words.split()]
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return root


def _measure(out: Path, steps: int, level: str, picture: str, chosen: list[str]) -> None:
    from hifihr_cli.training import bare_start, resolve
    from hifihr_core.training.distributed import join_world
    from hifihr_core.training.loop import fit
    from hifihr_core.training.run_progress import Progress
    from hifihr_core.training.setup import set_up
    from hifihr_core.training.validation import validate

    held_out = out.resolve() / "held_out" / "shards" / "freihand" / "train"
    given = [f'data.validation=["{held_out}"]', f"train.max_steps={steps}", "train.validate_every=0", *chosen]
    given += [] if picture == "with" else ["render.enabled=false"]
    flags: dict[str, Any] = {"train.supervision": level}
    settings = resolve(None, given, flags, paper=False, resumed=None)
    start = bare_start(settings, given, pretraining=False)
    assert start is not None
    settings = resolve(None, given, flags, paper=False, resumed=None, start=start)
    times: dict[str, tuple[float, float]] = {}

    def note(progress: Progress) -> None:
        key = "first step" if progress.step else progress.doing
        times.setdefault(key, (time.process_time(), time.monotonic() - _BEGAN))

    path = named(out / f"{level}-{picture}-{steps}.json", *chosen)
    folder = out / "runs" / path.stem
    summary = fit(settings, folder, init=start.init, resume=folder.exists(), on_progress=note)
    with join_world("cpu") as world:
        before = validate(set_up(settings, out / "runs" / "none", world, init=start.init), epoch=0)
    row = {"level": level, "picture": picture, "steps": steps, "before": before, "after": summary.validation}
    row["times"] = {name: {"processor_s": one, "clock_s": two} for name, (one, two) in times.items()}
    path.write_text(json.dumps(row, indent=1), encoding="utf-8")


def _print(row: dict[str, Any]) -> None:
    columns = sorted(set(row["before"]) & set(row["after"]))
    print(f"{row['level']} {row['picture']} the picture, {row['steps']} steps")
    for column in columns:
        print(f"  {column}: {row['before'][column]:.4g} -> {row['after'][column]:.4g}")
    for name, one in row["times"].items():
        print(f"  {name}: {one['processor_s']:.1f} s of processor, {one['clock_s']:.1f} s by the clock", flush=True)


#: The time when the process began: importing this file is the first thing that it does.
_BEGAN = time.monotonic()

if __name__ == "__main__":
    main()
