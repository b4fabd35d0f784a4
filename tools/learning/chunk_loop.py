"""Process chunks of rendered pictures as they appear."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from learning.drawn_hands import chunk_paths

from hifihr_core.files import write_atomically


def look_at_chunks(
    drawn: Path, out: Path, suffix: str, look: Callable[[Path], Mapping[str, np.ndarray]], *, minutes: float
) -> None:
    """Write the result of `look` for each chunk in a folder to `out`, with `suffix` in its name.

    Existing results are kept; further chunks are waited for until `minutes` have passed.
    """
    ends = time.monotonic() + 60 * minutes
    while True:
        for path in chunk_paths(drawn, "drawn"):
            target = out / path.name.replace("drawn", suffix)
            if not target.exists():
                began, arrays = time.monotonic(), look(path)
                with write_atomically(target) as part:
                    np.savez(part, **arrays)
                print(f"{target.name}: {time.monotonic() - began:.0f} s", flush=True)
        if time.monotonic() > ends:
            break
        time.sleep(10)


def number_of(path: Path) -> int:
    """Return the number of a chunk, which seeds its random numbers."""
    return int(path.name.split(".")[0])
