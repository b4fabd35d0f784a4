"""`hands.json`: which files `predict` wrote to a folder, for which photo and hand, and with which settings.

During a run, finished work is recorded line by line in a journal beside this file (`.hands-*.jsonl`), so that nothing
is lost if the run stops at any moment: the next run reads both and merges them into one file.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any

from hifihr_core import __version__
from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error, write_text
from hifihr_core.folder_lock import wait_for_turn
from hifihr_core.machine.parts import Part
from hifihr_core.outside.json_text import parse_json, read_json
from hifihr_core.outside.whole_files import read_whole

INDEX_FILE = "hands.json"
_JOURNAL = ".hands-*.jsonl"
_LOCK = ".hands.lock"
#: Version of the file format; readers reject later ones.
FORMAT = 1
_MOST_BYTES = 4 << 30

Entry = Mapping[str, Any]


class RunIndex:
    """The index of one results folder: a context manager that writes `hands.json` on exit, even after an error.

    An entry is that of a photo or clip in `predict --json`: `path` as the user gave it, `hands` with their `files`, and
    the `files` and `pictures` of the whole photo, named relative to the folder. `planned` lists names that a stopped
    run was about to write. Several parts of one run may write to a folder at the same time: with a `part`, journals of
    other parts are read but not removed, and the parts take turns to write `hands.json`.
    """

    def __init__(self, folder: Path, *, part: Part | None = None) -> None:
        self.folder, self.part = folder, part
        self._entries: dict[str, Entry] = {}
        self._planned: dict[str, tuple[str, ...]] = {}
        self._own: dict[str, Entry] = {}
        self._prefix = ".hands-" if part is None else f".hands-{part.name}-"
        self._old = [path for path in _journals(folder) if path.name.startswith(self._prefix)]
        self._journal: Path | None = None
        for entry in _read_all(folder):
            self._take(entry)
        self._others = {
            str(entry["path"])
            for path in _journals(folder)
            if path not in self._old
            for entry in _read_journal(path)
            if "planned" in entry
        }

    def __enter__(self) -> "RunIndex":
        """Return the index."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write `hands.json`, merged with what other runs wrote meanwhile, and remove the journals that it replaces."""
        if not self._own:
            return
        with nullcontext() if self.part is None else wait_for_turn(self.folder / _LOCK, what="another part"):
            entries = {str(entry["path"]): entry for entry in _read_index_file(self.folder)}
            _write(self.folder, {**self._entries, **entries, **self._own})
        last, self._journal = self._journal, None
        for photo, names in tuple(self._planned.items()):  # files of unfinished photos still belong to hifihr
            if photo not in self._others:
                self.plan(photo, names)
        for path in (*self._old, last):
            if path is not None:
                path.unlink(missing_ok=True)

    def entry(self, photo: str) -> Entry | None:
        """Return the entry of a photo, by its path as the user gave it, or None if it is not finished."""
        return self._entries.get(photo)

    def names(self, photo: str) -> set[str]:
        """Return the names of this photo's files, including those that a stopped run had planned."""
        return set(files_of(self._entries.get(photo, {}))) | set(self._planned.get(photo, ()))

    def all_names(self) -> set[str]:
        """Return the names of all files that belong to any photo."""
        return {name for photo in (*self._entries, *self._planned) for name in self.names(photo)}

    def plan(self, photo: str, names: Sequence[str]) -> None:
        """Record that files with these names are about to be written. Raises: DataError if this cannot be recorded."""
        self._note({"path": photo, "planned": sorted(names)})

    def add(self, document: Entry) -> None:
        """Record a finished photo. Raises: DataError if this cannot be recorded."""
        entry = _relative(document, self.folder)
        self._note(entry)
        self._own[str(entry["path"])] = entry

    def _note(self, entry: Entry) -> None:
        self._take(entry)
        try:
            if self._journal is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(prefix=self._prefix, suffix=".jsonl", dir=self.folder)
                os.close(handle)
                self._journal = Path(name)
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise DataError(describe_os_error(error, self.folder)) from error

    def _take(self, entry: Entry) -> None:
        photo = str(entry["path"])
        if "planned" in entry:
            self._planned[photo] = tuple(map(str, entry["planned"]))
        else:
            self._entries[photo] = entry
            self._planned.pop(photo, None)


def read_index(folder: Path) -> list[dict]:
    """Return the entries of a results folder. Raises: DataError if hifihr wrote no index there."""
    path = folder / INDEX_FILE
    if not path.is_file() and not _journals(folder):
        raise DataError(f"{path}: no such file; give a folder that `hifihr predict --out` wrote")
    finished = {entry["path"]: entry for entry in _read_all(folder) if "planned" not in entry}
    return [dict(entry) for entry in finished.values()]


def input_file(folder: Path, entry: Entry) -> Path | None:
    """Return the photo or clip of an entry: at its path, or else in the results folder; None if it no longer exists."""
    named = Path(entry["path"])
    # `Path.is_file` raises an error for a name that is too long.
    return next((path for path in (named, folder / named.name) if os.path.isfile(path)), None)


def write_index(folder: Path, photos: Sequence[Entry]) -> Path:
    """Write entries to `folder`, keeping earlier entries of other photos; return the file."""
    with RunIndex(folder) as index:
        for photo in photos:
            index.add(photo)
    return folder / INDEX_FILE


def _write(folder: Path, entries: Mapping[str, Entry]) -> None:
    document = {"format": FORMAT, "hifihr": __version__, "photos": list(entries.values())}
    write_text(folder / INDEX_FILE, json.dumps(document, indent=1) + "\n")


def _journals(folder: Path) -> list[Path]:
    found = {path: path.lstat().st_mtime for path in folder.glob(_JOURNAL) if path.exists()} if folder.is_dir() else {}
    return sorted(found, key=found.__getitem__)


def _read_all(folder: Path) -> Iterator[Entry]:
    """Yield the entries of the index and of journals left by stopped runs; truncated lines are skipped."""
    yield from _read_index_file(folder)
    for journal in _journals(folder):
        yield from _read_journal(journal)


def _read_journal(journal: Path) -> Iterator[Entry]:
    try:
        content = read_whole(journal, most_bytes=_MOST_BYTES)
    except DataError:
        if journal.exists():
            raise
        return  # another part has just finished, and its entries are in the index
    for line in content.decode("utf-8", "replace").splitlines():
        try:
            entry = parse_json(line, journal)
        except DataError:
            continue
        if _is_entry(entry):
            yield entry


def _read_index_file(folder: Path) -> list[Entry]:
    path = folder / INDEX_FILE
    if not path.is_file():
        return []
    remedy = "move it away and predict again, or choose another folder"
    document = read_json(path, remedy=remedy, most_bytes=_MOST_BYTES)
    found = document if isinstance(document, dict) else {}
    version, photos = found.get("format"), found.get("photos")
    if isinstance(version, int) and version > FORMAT:
        raise DataError(f"{path}: has format {version}, expected at most {FORMAT}; install a newer hifihr")
    if not isinstance(photos, list) or not all(map(_is_entry, photos)):
        raise DataError(f"{path}: not an index of results; {remedy}")
    return photos


def _is_entry(entry: object) -> bool:
    """Return whether this is a valid entry of a photo or clip; it must not name files outside its folder."""
    if not (
        isinstance(entry, dict) and isinstance(entry.get("path"), str) and ("hands" in entry or "planned" in entry)
    ):
        return False
    groups = [entry.get("hands", []), entry.get("tracks", [])]
    if not all(isinstance(group, list) and all(_names_files(hand) for hand in group) for group in groups):
        return False
    lists = [entry.get("files", []), entry.get("pictures", []), entry.get("planned", [])]
    lists += [hand["files"] for group in groups for hand in group]
    return all(isinstance(names, list) and all(map(_is_below, names)) for names in lists)


def _names_files(hand: object) -> bool:
    return isinstance(hand, dict) and "files" in hand


def _is_below(name: object) -> bool:
    if not isinstance(name, str):
        return False
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts


def files_of(entry: Entry) -> Iterator[str]:
    """Yield the names of all files in an entry."""
    for hand in (*entry.get("hands", []), *entry.get("tracks", [])):
        yield from hand.get("files", [])
    yield from entry.get("files", [])
    yield from entry.get("pictures", [])


def _relative(entry: Entry, folder: Path) -> dict[str, Any]:
    def names(files: Sequence[object]) -> list[str]:
        paths = [Path(str(file)) for file in files]
        return [path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path) for path in paths]

    changed: dict[str, Any] = {"hands": [{**hand, "files": names(hand["files"])} for hand in entry["hands"]]}
    changed |= {key: names(entry[key]) for key in ("files", "pictures") if key in entry}
    return {**entry, **changed}
