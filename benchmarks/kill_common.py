"""Shared by the kill loops: command lines in child processes, stopped at random moments and started again.

A warm child is forked from this process, which has imported everything and done nothing else, so that a stop hits the
work rather than the imports; every fifth is a cold one, a new interpreter, which is mostly stopped during its imports.
Both run the console script's own function and end with its exit code.
"""

import argparse
import importlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import torch

SIGNALS = ("INT", "TERM", "KILL")
#: How a run may end: by itself, or by the signal it was sent.
_ENDS = {"INT": (0, 130, -signal.SIGINT), "TERM": (0, 130, -signal.SIGTERM), "KILL": (0, -signal.SIGKILL)}
_MOST_S = 900.0
#: A worker server whose parent was killed notices that only after its imports.
_PATIENCE_S = 30.0


def parser_of(claim: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every kill loop."""
    parser = argparse.ArgumentParser(description=claim)
    parser.add_argument("--each", type=int, default=20, help="how often each signal is sent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser


def warm_up(*modules: str) -> None:
    """Import what the children need; the parent must not use it, since threads do not survive a fork."""
    for name in ("hifihr_cli.main", *modules):
        importlib.import_module(name)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


@dataclass
class Stops:
    """The events: how often each signal was sent, how runs ended, and unexpected output."""

    sent: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    runs: int = 0
    folders: int = 0
    sessions: set[int] = field(default_factory=set)
    shortest_s: float = float("inf")

    def row(self) -> dict[str, object]:
        """Return the counts for a report."""
        counts = {"signals": dict(self.sent), "runs started": self.runs, "folders": self.folders}
        return {**counts, "ends": dict(sorted(self.ends.items())), "faults": self.faults}


class Command:
    """One command line in a child process with its own session."""

    def __init__(self, words: Sequence[str], errors: Path, *, cold: bool) -> None:
        self._errors = errors
        self._child: BaseProcess | subprocess.Popen
        if cold:
            with errors.open("wb") as file:
                line = [sys.executable, "-m", "hifihr_cli", *words]
                self._child = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=file, start_new_session=True)
        else:
            self._child = multiprocessing.get_context("fork").Process(target=_run, args=(list(words), errors))
            self._child.start()
        self.pid = int(self._child.pid or 0)

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, or None if it is still running after this time."""
        if isinstance(self._child, subprocess.Popen):
            try:
                return self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
        self._child.join(seconds)
        return self._child.exitcode

    def errors(self) -> str:
        """Return its stderr."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""


def _run(words: list[str], errors: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    out, err = os.open(os.devnull, os.O_WRONLY), os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(err, 2)
    from hifihr_cli.start import run

    sys.argv = ["hifihr", *words]
    run()


def finished_folders(
    lines: Callable[[Path], Sequence[Sequence[str]]],
    place: Path,
    dice: random.Random,
    each: int,
    stops: Stops,
    *,
    cold_every: int = 5,
) -> Iterator[Path]:
    """Run undisturbed in `place / "whole"`, then yield folders of stopped runs until each signal was sent `each` times.

    `lines` returns the possible command lines for a folder: the first is used undisturbed, every other start picks one
    at random.
    """

    def drawn(out: Path) -> Sequence[str]:
        return dice.choice(lines(out))

    errors, left = place / "errors", Counter(dict.fromkeys(SIGNALS, each))
    length_s = run_whole(lines(place / "whole")[0], errors)
    while any(left.values()):
        out = place / f"out{stops.folders}"
        stop_until_done(partial(drawn, out), errors, dice, length_s, left, stops, cold_every=cold_every)
        stops.folders += 1
        print(f"{place.name}: {dict(stops.sent)}, {stops.folders} folders", file=sys.stderr, flush=True)
        yield out


def run_whole(words: Sequence[str], errors: Path) -> float:
    """Run undisturbed and return the seconds it took. Raises: SystemExit if it fails."""
    started = time.monotonic()
    command = Command(words, errors, cold=False)
    code = command.wait(_MOST_S)
    if code != 0:
        raise SystemExit(f"{' '.join(words)}: exit code {code}\n{command.errors()}")
    return time.monotonic() - started


def stop_until_done(
    lines: Callable[[], Sequence[str]],
    errors: Path,
    dice: random.Random,
    length_s: float,
    left: Counter[str],
    stops: Stops,
    *,
    cold_every: int,
) -> None:
    """Stop a command at random moments and start it again until it ends by itself; `left` counts the signals still to
    be sent.

    `lines` returns the command line for the next start.
    """
    while True:
        cold = cold_every > 0 and stops.runs % cold_every == cold_every - 1
        command = Command(lines(), errors, cold=cold)
        stops.runs += 1
        stops.sessions.add(command.pid)
        started = time.monotonic()
        wanted = sorted(name for name, count in left.items() if count > 0)
        code, name = None, ""
        if wanted:
            code = command.wait(dice.uniform(0.02, 1.0) * (min(length_s, stops.shortest_s) + 2.0 * cold))
            if code == 0:  # later runs are faster: caches are filled, and the machine may be less busy
                stops.shortest_s = min(stops.shortest_s, time.monotonic() - started)
            if code is None:
                name = dice.choice(wanted)
                os.kill(command.pid, getattr(signal, f"SIG{name}"))
                left[name] -= 1
                stops.sent[name] += 1
        if code is None:
            code = command.wait(_MOST_S)
        _judge(command, code, name, stops)
        if code == 0 or code is None:
            return


def _judge(command: Command, code: int | None, name: str, stops: Stops) -> None:
    """Record how a run ended, and any fault."""
    stops.ends[f"{name or 'none'}: {code}"] += 1
    said = command.errors()
    if code is None:
        os.kill(command.pid, signal.SIGKILL)
        stops.faults.append(f"{name}: hangs; {said[-300:]}")
    elif code not in _ENDS.get(name, (0,)):
        stops.faults.append(f"{name}: exit code {code}; {said[-300:]}")
    elif "Traceback" in said or "Exception ignored" in said:
        stops.faults.append(f"{name}: {said[-600:]}")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, hidden ones included."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def differing(first: Mapping[str, object], second: Mapping[str, object]) -> list[str]:
    """Return the names of files that differ between two folders."""
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


def processes_left(stops: Stops) -> int:
    """Return how many processes started by the runs do not end by themselves within some time (Linux)."""
    ends = time.monotonic() + _PATIENCE_S
    while (found := _count_alive(stops.sessions)) and time.monotonic() < ends:
        time.sleep(0.5)
    return found


def _count_alive(sessions: set[int]) -> int:
    """Return how many processes of these sessions have not ended; every run has its own session."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, session = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
            except OSError:  # it has ended in the meantime
                continue
            found += state != "Z" and int(session) in sessions
    return found
