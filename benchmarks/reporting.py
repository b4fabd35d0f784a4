"""Report the results of a benchmark: JSON with machine and commit.

`report` prints it; a script that prints a table for people calls `write` instead. `help_time` times a command line that
never loads torch, so nothing here loads it either.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Measured at import, before the benchmark itself loads the machine.
LOAD_AT_START = round(os.getloadavg()[0], 1)


def report(name: str, values: Mapping[str, object], target: Path | None) -> None:
    """Print the results of the benchmark `name` with machine and commit, and write them to `target` if given."""
    print(write(name, values, target))


def write(name: str, values: Mapping[str, object], target: Path | None) -> str:
    """Write the results of the benchmark `name` with machine and commit to `target` if given; return the text."""
    text = json.dumps({"benchmark": name, **_conditions(), **values}, indent=1)
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n", encoding="utf-8")
    return text


def _conditions() -> dict[str, object]:
    machine: dict[str, object] = {
        "system": platform.system(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_at_start": LOAD_AT_START,
    }
    conditions = {"commit": _commit(), "python": platform.python_version(), "machine": machine}
    # torch's version and threads matter only to a benchmark that has loaded it.
    if (torch := sys.modules.get("torch")) is not None:
        machine["threads"] = torch.get_num_threads()
        conditions["torch"] = torch.__version__
        if torch.cuda.is_initialized():
            machine["gpu"] = torch.cuda.get_device_name()
    return conditions


def _commit() -> str | None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None  # results must not be lost because git is not installed
    return found.stdout.strip() or None
