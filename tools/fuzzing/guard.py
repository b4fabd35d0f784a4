"""A child process per reader, with limits on time per file and memory; only our own exceptions are allowed."""

import json
import os
import random
import resource
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.mutations import Mutate
from hifihr_core.errors import HifihrError

SECONDS = 20.0
MEMORY_BYTES = 2 << 30


@dataclass(frozen=True)
class Reader:
    """A reader and a small valid file of its kind.

    `prepare` writes whatever the reader needs into a folder and returns the file that is damaged; `read` reads it, or
    the folder around it. Whether the file is damaged or not, the only exception allowed is a one-line `HifihrError`.
    """

    prepare: Callable[[Path], Path]
    read: Callable[[Path], object]
    mutate: Mutate


@dataclass
class Tally:
    """The results of one reader on its damaged files."""

    files: int = 0
    refused: int = 0
    read: int = 0
    failures: list[str] = field(default_factory=list)
    peak_bytes: int = 0


def run_reader(name: str, reader: Reader, *, first: int = 0, count: int, seed: int, deadline: float) -> Tally:
    """Read damaged files `first` to `count`; a child that dies or hangs counts as a failure and is replaced."""
    tally, number = Tally(), first
    while number < count and time.monotonic() < deadline:
        number = _run_child(name, reader, number, count, seed, deadline, tally)
    return tally


def _run_child(name: str, reader: Reader, first: int, count: int, seed: int, deadline: float, tally: Tally) -> int:
    """Let a forked child read the files from `first` on; return the number of the first unread file."""
    inlet, outlet = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(inlet)
        _work(name, reader, first, count, seed, outlet)
    os.close(outlet)
    number = first
    with open(inlet, "rb", buffering=0) as stream:
        while number < count:
            ready, _, _ = select.select([stream], [], [], SECONDS if number > first else 3 * SECONDS)
            message = _receive(stream) if ready else None
            if message is None:
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                what = f"ended with {died}" if ready else f"took more than {SECONDS:.0f} s"
                tally.files += 1
                tally.failures.append(f"{name} {seed}/{number}: {what}")
                return number + 1
            _count(name, seed, number, message, tally)
            number += 1
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                break
    os.waitpid(child, 0)
    return number


def _receive(stream) -> tuple[str, str, int] | None:
    head = stream.read(4)
    if len(head) < 4:
        return None
    left, content = struct.unpack("<I", head)[0], b""
    while len(content) < left:
        block = stream.read(left - len(content))
        if not block:
            return None
        content += block
    outcome, detail, peak = json.loads(content)
    return outcome, detail, peak


def _count(name: str, seed: int, number: int, message: tuple[str, str, int], tally: Tally) -> None:
    outcome, detail, peak = message
    tally.files += 1
    tally.peak_bytes = max(tally.peak_bytes, peak)
    tally.read += outcome == "read"
    tally.refused += outcome == "refused"
    if outcome == "failed":
        tally.failures.append(f"{name} {seed}/{number}: {detail}")
    elif peak > MEMORY_BYTES:
        tally.failures.append(f"{name} {seed}/{number}: {peak / 2**30:.1f} GiB")


def _work(name: str, reader: Reader, first: int, count: int, seed: int, outlet: int) -> None:
    """Read damaged files until there are no more; never return."""
    code, said = 1, 2
    try:
        said = os.dup(2)
        for stream in (1, 2):  # warnings of libraries about damaged files
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        with tempfile.TemporaryDirectory() as folder:
            path = reader.prepare(Path(folder))
            whole = path.read_bytes()
            before = _peak()
            _limit_memory()
            for number in range(first, count):
                dice = random.Random(f"{name} {seed} {number}")
                path.write_bytes(reader.mutate(whole, dice) if number else whole)
                outcome, detail = _try(reader, path, whole=number == 0)
                content = json.dumps((outcome, detail, _peak() - before)).encode()
                os.write(outlet, struct.pack("<I", len(content)) + content)
        code = 0
    except BaseException:  # noqa: BLE001 (reported by the exit code; a fork must never return)
        os.write(said, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _try(reader: Reader, path: Path, *, whole: bool) -> tuple[str, str]:
    try:
        reader.read(path)
    except HifihrError as error:
        if whole or "\n" in str(error):
            return "failed", f"{'the whole file' if whole else 'more than one line'}: {error!r}"[:500]
        return "refused", ""
    except Exception as error:  # noqa: BLE001 (any other exception is what is looked for)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "failed", f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"[:500]
    return "read", ""


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _limit_memory() -> None:
    """Limit memory, so that no file brings the machine down: twice the bound, beyond what is already mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        limit = pages * resource.getpagesize() + 2 * MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
