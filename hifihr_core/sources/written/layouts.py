"""Write synthetic hands in the raw layouts of FreiHAND v2 and HO-3D v2 or v3, with the same files as their downloads.

So readers, evaluators and tutorials can be tried on files in the real format without the real data. A marker file
states that a dataset is synthetic, and whether its 778 vertices are MANO's (if MANO is installed) or other points.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

from hifihr_core.assets.store import is_installed
from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error, write_atomically, write_text
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.outside.folders import is_junk
from hifihr_core.outside.json_text import read_json
from hifihr_core.sources.marker import MARKER_NAME, UNFINISHED

#: Makes an evaluation split differ from a training split with the same seed.
EVALUATION_SEED = 1_000_003


@dataclass(frozen=True)
class RawRequest:
    """What to write: the numbers of annotated poses in both splits, the seed, and the folder.

    `hand=None` means MANO if it is installed, else the free hand model. `photos` and `backgrounds` are those of
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
        """Return the name of the hand model to render."""
        return self.hand or ("mano" if is_installed("mano-right") else "anny")


#: Layout -> "module:function" that writes it.
LAYOUTS: Mapping[str, str] = MappingProxyType(
    {
        "freihand": "hifihr_core.sources.written.freihand:write_freihand",
        "ho3d-v2": "hifihr_core.sources.written.ho3d:write_ho3d_v2",
        "ho3d-v3": "hifihr_core.sources.written.ho3d:write_ho3d_v3",
    }
)


def write_raw_tree(
    layout: str, request: RawRequest, *, overwrite: bool = False, on_progress: OnProgress = no_progress
) -> None:
    """Write a synthetic dataset in a raw layout; `on_progress` gets (poses done, total).

    A dataset left by an interrupted run is rewritten; a finished one only with `overwrite`.
    Raises: ValueError for an unknown layout; DataError if the folder contains anything else, or cannot be written.
    """
    from importlib import import_module

    if layout not in LAYOUTS:
        raise ValueError(f"unknown raw layout {layout!r}, expected one of {', '.join(LAYOUTS)}")
    refuse_taken(request.root, overwrite=overwrite)
    module, _, name = LAYOUTS[layout].partition(":")
    try:
        _clear(request.root)
        request.root.mkdir(parents=True, exist_ok=True)
        getattr(import_module(module), name)(request, on_progress)
        _finish_marker(request.root)
    except OSError as error:
        raise DataError(describe_os_error(error, request.root)) from error


def write_marker(root: Path, *, stand_in_vertices: bool) -> None:
    """Mark a dataset as synthetic and unfinished, before all else, so a partial one never passes for a download."""
    content = {"synthetic": True, "stand_in_vertices": stand_in_vertices, UNFINISHED: True}
    write_text(root / MARKER_NAME, json.dumps(content) + "\n")


def refuse_taken(root: Path, *, overwrite: bool) -> None:
    """Reject a folder that may hold a real download, or a finished dataset that must not be replaced.

    Raises: DataError, with a remedy, for such a folder.
    """
    if not root.is_dir() or not any(not is_junk(path.name) for path in root.iterdir()):
        return
    if not (root / MARKER_NAME).is_file():
        raise DataError(f"{root}: neither empty nor a synthetic dataset; give an empty folder with --out")
    marker = read_json(root / MARKER_NAME)
    if not (overwrite or (isinstance(marker, dict) and UNFINISHED in marker)):
        raise DataError(f"{root}: already contains a synthetic dataset; choose another --out, or use --overwrite")


#: What the layouts write to the root of a dataset; nothing else is ever removed.
_FOLDERS = ("training", "evaluation", "train", "outputs", "openpose")
_FILES = ("training_*.json", "evaluation_*.json", "train.txt", "evaluation.txt", MARKER_NAME)


def _clear(root: Path) -> None:
    """Remove the synthetic dataset in a folder."""
    if not (root / MARKER_NAME).is_file():
        return
    for name in _FOLDERS:
        if (root / name).is_dir() and not (root / name).is_symlink():
            shutil.rmtree(root / name)
    for pattern in map(Path, _FILES):
        temporary = f".{pattern.stem}-*{pattern.suffix}"  # of a killed run
        for path in (*root.glob(temporary), *root.glob(pattern.name)):
            path.unlink()


def _finish_marker(root: Path) -> None:
    content = read_json(root / MARKER_NAME)
    content.pop(UNFINISHED, None)
    write_text(root / MARKER_NAME, json.dumps(content) + "\n")


class JsonList:
    """Writes a JSON list to a file entry by entry, so that a long list is never in memory."""

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
    """Open a list per name, ``ROOT/<name>.json``; the files appear at the end, all complete."""
    with ExitStack() as stack:
        parts = {name: stack.enter_context(write_atomically(root / f"{name}.json")) for name in names}
        with ExitStack() as files:
            lists = {
                name: JsonList(files.enter_context(part.open("w", encoding="utf-8"))) for name, part in parts.items()
            }
            yield lists
            for each in lists.values():
                each.close()
