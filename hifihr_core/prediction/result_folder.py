"""Name the results of a photo, find those of earlier runs, and decide what may be replaced.

Only files that the index of a folder (`hands.json`) lists are results. Any other file, whatever its name, is never
replaced or removed, and neither is a photo of this run.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from hifihr_core.errors import DataError
from hifihr_core.exports.formats import possible_names
from hifihr_core.exports.run_index import Entry, RunIndex
from hifihr_core.files import plain_name
from hifihr_core.machine.parts import Part
from hifihr_core.outside.whole_files import read_head

#: Bytes of a photo's name kept in its file names; file systems allow 255, and extensions and numbers need some.
_LONGEST_STEM = 180
PICTURES = ("_overlay.jpg", "_sheet.jpg")
#: Text near the beginning of every page that hifihr writes.
_PAGE_MARK = b"<title>hifihr</title>"


def fingerprint(path: Path) -> dict[str, int]:
    """Return the size in bytes and the modification time of a photo, which show whether it has changed since."""
    found = path.stat()
    return {"bytes": found.st_size, "modified_ns": found.st_mtime_ns}


def digest(facts: object) -> str:
    """Return a short hash of `facts`, such as the settings of a run."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def without_results(photos: Sequence[Path], folder: Path) -> list[Path]:
    """Return the photos, without pictures that an earlier run wrote to `folder`."""
    names = RunIndex(folder).all_names()
    own = {(folder / name).resolve() for name in names}
    return [path for path in photos if path.resolve() not in own] if own else list(photos)


def photos_of_part(photos: Sequence[Path], part: Part) -> list[Path]:
    """Return the photos of one part of a run; the division depends only on the list `photos`.

    Photos whose result names may collide (`a.jpg`, `a.png`, `a_2.jpg`) are in the same part, so that every result has
    the same name as in an undivided run.
    """
    stems = {path.stem for path in photos}
    groups: dict[str, int] = {}
    numbers = [groups.setdefault(_shortest_in(stems, path.stem), len(groups)) for path in photos]
    return [path for path, number in zip(photos, numbers, strict=True) if part.takes(number)]


def _shortest_in(stems: Collection[str], stem: str) -> str:
    """Return the shortest of `stems` that is equal to `stem`, or is the part of it before one of its underscores."""
    words = stem.split("_")
    heads = ("_".join(words[:count]) for count in range(1, len(words) + 1))
    return next(head for head in heads if head in stems)


def is_done(index: RunIndex, path: Path, settings: str) -> bool:
    """Return whether an earlier run with the same settings finished the photo in its present version, and all of its
    files still exist.
    """
    entry = index.entry(str(path))
    if entry is None or entry.get("settings") != settings or entry.get("file") != fingerprint(path):
        return False
    return all((index.folder / name).is_file() for name in index.names(str(path)))


def refuse_other_results(index: RunIndex, path: Path, settings: str) -> None:
    """Raise DataError if the folder has results of this photo, which this run would have to replace.

    The message says whether they were made from another version of the photo, or with other settings than `settings`.
    """
    entry = index.entry(str(path))
    if entry is not None and any((index.folder / name).exists() for name in index.names(str(path))):
        found = how_made(entry, "photo", file=fingerprint(path), settings=settings)
        raise DataError(f"{path}: {index.folder} {found}; give another --out, or --overwrite")


def how_made(entry: Entry, kind: str, *, file: object, settings: str) -> str:
    """Say how the results in an entry differ from those of a run on `file`, a photo or clip, with `settings`.

    The text follows the name of the folder.
    """
    if entry.get("file") != file:
        return f"already holds results of another version of this {kind}"
    if entry.get("settings") != settings:
        return "already holds results with other settings"
    return f"already holds results of this {kind}"


def refuse_foreign_page(path: Path, *, overwrite: bool) -> None:
    """Raise DataError for a page that hifihr did not write, or that must not be replaced."""
    if not path.exists():
        return
    ours = path.is_file() and _PAGE_MARK in read_head(path, 4096)
    if not (ours and overwrite):
        found, remedy = ("", ", or --overwrite") if ours else (", and hifihr did not write it", "")
        raise DataError(f"{path}: already exists{found}; give another --out{remedy}")


def choose_stem(index: RunIndex, path: Path, hands: int, formats: Sequence[str], taken: Iterable[str]) -> str:
    """Return a stem for a photo's files that no other photo's files use."""
    own, used = index.names(str(path)), set(taken)
    for stem in candidate_stems(path):
        names = result_names(stem, hands, formats)
        foreign = (name for name in names - own if (index.folder / name).exists())
        if stem not in used and next(foreign, None) is None:
            return stem
    raise AssertionError("candidate_stems ended, expected an endless sequence")


def result_names(stem: str, hands: int, formats: Sequence[str]) -> set[str]:
    """Return every name that the files of a photo with `hands` hands may have."""
    return possible_names(stem, hands, formats) | {f"{stem}{ending}" for ending in PICTURES}


def remove_leftovers(index: RunIndex, path: Path, written: Iterable[Path]) -> None:
    """Remove files of this photo from earlier runs that this run did not rewrite, including partial files."""
    kept = {file.name for file in written}
    for name in index.names(str(path)):
        file = index.folder / name
        if Path(name).name != name:  # a foreign index must not reach other folders
            continue
        for part in index.folder.glob(f".{_escaped(file.stem)}-????????{_escaped(file.suffix)}"):
            part.unlink(missing_ok=True)
        if name not in kept:
            file.unlink(missing_ok=True)


def result_of(entry: Entry, folder: Path) -> dict[str, object]:
    """Return the entry of an earlier run with the paths of its files, in place of their names in `folder`."""

    def paths(names: Sequence[str]) -> list[str]:
        return [str(folder / name) for name in names]

    hands = [{**hand, "files": paths(hand["files"])} for hand in entry["hands"]]
    return {
        **entry,
        "hands": hands,
        "files": paths(entry.get("files", [])),
        "pictures": paths(entry.get("pictures", [])),
    }


def candidate_stems(path: Path) -> Iterator[str]:
    """Yield possible stems for the results of a photo or clip, best first, without end."""
    stem = plain_name(path.stem)  # an OBJ cannot name a file with a space in it
    while len(stem.encode(errors="surrogateescape")) > _LONGEST_STEM:
        stem = stem[:-1]
    yield stem
    if path.suffix:
        yield f"{stem}_{path.suffix[1:].lower()}"
    number = 2
    while True:
        yield f"{stem}_{number}"
        number += 1


def _escaped(text: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)
