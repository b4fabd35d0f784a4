"""Write synthetic hands in the raw layouts of FreiHAND v2 and HO-3D v2 / v3, as their downloads look on disk.

So every reader, evaluator and tutorial can be tried on files of the real format without the real data. A marker file
says that a tree is synthetic, and whether its 778 vertices are MANO's (where MANO is installed) or stand-ins.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

from hifihr_core.assets.store import is_installed
from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error, write_text
from hifihr_core.sources.marker import MARKER_NAME

OnProgress = Callable[[int, int], None]

#: An evaluation split differs from a training split of the same seed.
EVALUATION_SEED = 1_000_003


@dataclass(frozen=True)
class RawRequest:
    """What to write: numbers of annotated poses in both splits, the seed, and where.

    `hand` None means MANO where it is installed, else the free hand. `photos` and `backgrounds` are those of
    `SynthOptions`.
    """

    root: Path
    count: int
    evaluation: int
    seed: int = 0
    hand: str | None = None
    photos: Path | None = None
    backgrounds: int = 96

    @property
    def hand_name(self) -> str:
        """Return the hand model to render."""
        return self.hand or ("mano" if is_installed("mano-right") else "anny")


#: Layout -> "module:function" that writes it.
LAYOUTS: Mapping[str, str] = MappingProxyType(
    {
        "freihand": "hifihr_core.sources.written.freihand:write_freihand",
        "ho3d-v2": "hifihr_core.sources.written.ho3d:write_ho3d_v2",
        "ho3d-v3": "hifihr_core.sources.written.ho3d:write_ho3d_v3",
    }
)


def write_raw_tree(layout: str, request: RawRequest, *, on_progress: OnProgress | None = None) -> None:
    """Write a raw tree of a dataset; `on_progress` gets (poses done, poses of all).

    Raises: ValueError for an unknown layout; DataError if the folder holds something else, or the disk refuses.
    """
    from importlib import import_module

    if layout not in LAYOUTS:
        raise ValueError(f"raw layout {layout!r} is not known; known layouts: {', '.join(LAYOUTS)}")
    _refuse_foreign(request.root)
    module, _, name = LAYOUTS[layout].partition(":")
    try:
        request.root.mkdir(parents=True, exist_ok=True)
        getattr(import_module(module), name)(request, on_progress or (lambda done, total: None))
    except OSError as error:
        raise DataError(describe_os_error(error, request.root)) from error


def write_marker(root: Path, *, stand_in_vertices: bool) -> None:
    """Say that a tree is synthetic. Written first, so that no half-written tree passes for a real download."""
    write_text(root / MARKER_NAME, json.dumps({"synthetic": True, "stand_in_vertices": stand_in_vertices}) + "\n")


def _refuse_foreign(root: Path) -> None:
    """Keep away from a folder that may hold a real download."""
    if root.is_dir() and any(root.iterdir()) and not (root / MARKER_NAME).is_file():
        raise DataError(f"{root}: not empty and not a synthetic tree; give an empty folder with --out")


class JsonList:
    """A JSON list that is written entry by entry, so that long lists need no memory."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.count = file, 0

    def append(self, entry: object) -> None:
        """Write one entry."""
        self.file.write("[" if not self.count else ", ")
        json.dump(entry, self.file)
        self.count += 1

    def close(self) -> None:
        """End the list."""
        self.file.write("]" if self.count else "[]")


@contextmanager
def json_lists(root: Path, names: tuple[str, ...]) -> Iterator[dict[str, JsonList]]:
    """Open a list per name, ``ROOT/<name>.json``, and end all of them on the way out."""
    files = {name: (root / f"{name}.json").open("w", encoding="utf-8") for name in names}
    try:
        lists = {name: JsonList(file) for name, file in files.items()}
        yield lists
        for each in lists.values():
            each.close()
    finally:
        for file in files.values():
            file.close()
