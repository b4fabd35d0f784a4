"""Claim: `hifihr --help`, and that of every command, answers in less than 0.4 s (median), since it never loads torch.

Every run is a new interpreter. An interpreter that does nothing, and one that imports torch, are timed in the same
round, so that the ratios also hold on a busy machine, whose processor time is what an idle machine would show.

Usage: python benchmarks/help_time.py [--rounds 9] [--json FILE]
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from reporting import write

LIMIT_S = 0.4
RUN = "from hifihr_cli.start import run; run()"


def command_lines() -> list[list[str]]:
    """Return the words of every command and subcommand."""
    from hifihr_cli.main import COMMANDS, build_app

    root = build_app()
    lines: list[list[str]] = [[]]
    for name in COMMANDS:
        lines += [[name], *([name, sub] for sub in getattr(root.commands[name], "commands", {}))]
    return lines


def seconds(*arguments: str) -> tuple[float, float]:
    """Return the wall-clock time of a new interpreter, and its processor time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median (clock, processor) seconds of every command line and of the two references, measured
    alternately.
    """
    runs = {"(python, nothing)": ["-c", "pass"], "(python, import torch)": ["-c", "import torch"]}
    runs |= {" ".join(["hifihr", *words, "--help"]): ["-c", RUN, *words, "--help"] for words in command_lines()}
    for arguments in runs.values():
        seconds(*arguments)  # fills the disk cache
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, arguments in runs.items():
            times[name].append(seconds(*arguments))
    return {name: (median(v[0] for v in values), median(v[1] for v in values)) for name, values in times.items()}


def main() -> int:
    """Print the table, write the JSON if requested, and return 1 if a command is slower than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    medians = measure(options.rounds)
    nothing = medians["(python, nothing)"][1]
    print(f"{'':<32} {'clock':>9} {'processor':>11} {'ratio':>9}")
    for name, (clock, processor) in medians.items():
        print(f"{name:<32} {clock:7.3f} s {processor:9.3f} s {processor / nothing:7.1f} x")
    slow = [name for name, (_, used) in medians.items() if name.startswith("hifihr") and used >= LIMIT_S]
    print(f"more than {LIMIT_S} s of processor time: {', '.join(slow) or 'none'}")
    if options.json:
        figures = {name: {"clock_s": clock, "processor_s": used} for name, (clock, used) in medians.items()}
        write("help_time", {"rounds": options.rounds, "median": figures}, options.json)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
