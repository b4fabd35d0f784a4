"""Walk through a user's folders: links are followed, but no folder is visited twice, and files that an operating
system left behind are skipped.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

#: Files that macOS and Windows leave behind; companions like `._photo.jpg` begin with a dot and an underscore.
_LEFT_BEHIND = frozenset({".DS_Store", "__MACOSX", "Thumbs.db", "desktop.ini"})
_DIGITS = re.compile(r"(\d+)")


def is_junk(name: str) -> bool:
    """Return whether a file or folder with this name was left by an operating system and is not data."""
    return name in _LEFT_BEHIND or name.startswith("._")


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a sort key for which `frame_2` comes before `frame_10`."""
    parts: list[str | int] = [int(part) if n % 2 else part for n, part in enumerate(_DIGITS.split(text))]
    return parts, text


def walk(
    root: Path, *, enter: Callable[[str], bool] = lambda name: True, most_depth: int = 32
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield (folder, names of its folders, names of its files) at and below `root`, in natural order.

    Links to folders are followed; a folder that was visited before, by any path, is not visited again. `enter` decides
    by a folder's name whether to visit it (its name is listed in any case), `most_depth` limits the levels below
    `root`. Unreadable folders are skipped.
    """
    yield from _walk(root, enter, most_depth, set())


def find_files(root: Path, suffixes: Collection[str] | None = None) -> list[Path]:
    """Return the files at and below `root` with one of the `suffixes`, in the order of `walk`.

    `suffixes` are in lower case and begin with a dot; None selects all files.
    """
    return [
        folder / name
        for folder, _, names in walk(root)
        for name in names
        if suffixes is None or Path(name).suffix.lower() in suffixes
    ]


def _walk(
    folder: Path, enter: Callable[[str], bool], depth: int, seen: set[tuple[int, int]]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    try:
        found = folder.stat()
        with os.scandir(folder) as scan:
            entries = sorted((e for e in scan if not is_junk(e.name)), key=lambda entry: natural_key(entry.name))
    except OSError:
        return
    if (found.st_dev, found.st_ino) in seen:
        return
    seen.add((found.st_dev, found.st_ino))
    folders = [entry.name for entry in entries if _is(entry.is_dir)]
    yield folder, folders, [entry.name for entry in entries if _is(entry.is_file)]
    for name in folders:
        if depth > 0 and enter(name):
            yield from _walk(folder / name, enter, depth - 1, seen)


def _is(question: Callable[[], bool]) -> bool:
    """Return the answer of `question`, such as ``entry.is_dir``; False if it fails, as for a link to itself."""
    try:
        return question()
    except OSError:
        return False
