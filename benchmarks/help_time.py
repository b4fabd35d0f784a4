"""Claim: `hifihr --help`, and that of every command, answers in less than 0.4 s (median), since it never loads torch.

Every run is a fresh interpreter. An interpreter that does nothing, and one that imports torch, are timed in the same
round, so that the ratios hold on a busy machine too.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT_S = 0.4
RUN = "from hifihr_cli.main import run; run()"


def command_lines() -> list[list[str]]:
    """Return the words of every command and subcommand."""
    from hifihr_cli.main import COMMANDS, build_app

    root = build_app()
    lines: list[list[str]] = [[]]
    for name in COMMANDS:
        lines += [[name], *([name, sub] for sub in getattr(root.commands[name], "commands", {}))]
    return lines


def seconds(*arguments: str) -> float:
    """Return how long a fresh interpreter takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(rounds: int) -> dict[str, float]:
    """Return the median seconds of every command line and of the two yardsticks, taken in turns."""
    runs = {"(python, nothing)": ["-c", "pass"], "(python, import torch)": ["-c", "import torch"]}
    runs |= {" ".join(["hifihr", *words, "--help"]): ["-c", RUN, *words, "--help"] for words in command_lines()}
    for arguments in runs.values():
        seconds(*arguments)  # fills the disk cache
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, arguments in runs.items():
            times[name].append(seconds(*arguments))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> int:
    """Print the table, write the JSON, and return 1 where a command is slower than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/help_time.json"))
    options = parser.parse_args()
    medians = measure(options.rounds)
    nothing = medians["(python, nothing)"]
    for name, value in medians.items():
        print(f"{name:<32} {value:6.3f} s  {value / nothing:6.1f} x")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    machine = {"system": platform.platform(), "processor": platform.machine(), "python": platform.python_version()}
    document = {"claim": __doc__, "commit": commit, "machine": machine, "rounds": options.rounds, "median_s": medians}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    slow = [name for name, value in medians.items() if name.startswith("hifihr") and value >= LIMIT_S]
    print(f"slower than {LIMIT_S} s: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
