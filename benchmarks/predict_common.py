"""What the benchmarks of prediction share: where results go."""

import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def report(name: str, values: dict[str, object], target: Path | None) -> None:
    """Print the results with machine and commit, and write them where `target` says."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    document = {"benchmark": name, "commit": commit.stdout.strip() or None, "machine": machine, **values}
    text = json.dumps(document, indent=1, default=lambda value: round(float(value), 4))
    print(text)
    if target is not None:
        target.write_text(text + "\n")
