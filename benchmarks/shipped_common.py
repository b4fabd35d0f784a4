"""What the benchmarks of the shipped models share."""

from pathlib import Path

from hifihr_core.models.shipped import shipped_model


def shipped_path(name: str) -> Path:
    """Return the path of a shipped model, or end: without it the benchmark means nothing."""
    path = shipped_model(name)
    if path is None:
        raise SystemExit(f"{name} does not ship with this installation")
    return path
