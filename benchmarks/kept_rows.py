"""Rows of a benchmark that are kept on disk, so that a stopped one can be resumed, row by row."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path


def named(path: Path, *facts: object) -> Path:
    """Return `path` with a suffix in its name that differs if any of the facts does; the ending stays."""
    return path.with_name(f"{path.stem}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:8]}{path.suffix}")


def kept(path: Path, make: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return the row in a file; if there is no such file, make the row and write it."""
    if not path.exists():
        path.write_text(json.dumps(make(), indent=1), encoding="utf-8")
    return dict(json.loads(path.read_text(encoding="utf-8")))
