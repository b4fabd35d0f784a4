"""Shared by the benchmarks of the shipped models."""

from pathlib import Path

from hifihr_core.models.shipped import shipped_model


def shipped_path(name: str) -> Path:
    """Return the path of a shipped model. Raises: SystemExit if this installation lacks it."""
    path = shipped_model(name)
    if path is None:
        raise SystemExit(f"{name} does not ship with this installation")
    return path
