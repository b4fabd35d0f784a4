"""`hands.json`: which photos a folder of results holds, and which files belong to which hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from hifihr_core import __version__
from hifihr_core.errors import DataError
from hifihr_core.files import read_text, write_text

INDEX_FILE = "hands.json"
#: Version of the file; a reader refuses a later one.
FORMAT = 1


def write_index(folder: Path, photos: Sequence[Mapping[str, object]]) -> Path:
    """Write the entries of this run's photos to `folder`, with those that an earlier run left for other photos.

    An entry is the one of `predict --json`: `path`, `hands` with their `files`, `files` of the whole photo. Files below
    `folder` are named relative to it. Raises: DataError where the disk refuses.
    """
    entries = {str(entry["path"]): entry for entry in _earlier(folder)}
    for photo in photos:
        entries[str(photo["path"])] = _relative(photo, folder)
    path = folder / INDEX_FILE
    document = {"format": FORMAT, "hifihr": __version__, "photos": list(entries.values())}
    write_text(path, json.dumps(document, indent=1) + "\n")
    return path


def read_index(folder: Path) -> list[dict]:
    """Return the entries of a folder of results. Raises: DataError where there is none, or it is not one of ours."""
    path = folder / INDEX_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file, expected a folder that `hifihr predict --out` wrote")
    try:
        document = json.loads(read_text(path))
        if document["format"] > FORMAT:
            raise DataError(f"{path}: format {document['format']}, expected up to {FORMAT}; install a newer hifihr")
        return list(document["photos"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not an index of results ({error}); run `hifihr predict --overwrite` again") from error


def _earlier(folder: Path) -> list[dict]:
    """Return what an earlier run wrote; a damaged file is replaced."""
    try:
        return read_index(folder)
    except DataError:
        return []


def _relative(entry: Mapping[str, object], folder: Path) -> dict[str, object]:
    def name(file: object) -> str:
        path = Path(str(file))
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)

    def names(files: object) -> list[str]:
        assert isinstance(files, Sequence)
        return [name(file) for file in files]

    hands = entry["hands"]
    assert isinstance(hands, Sequence)
    changed: dict[str, object] = {"hands": [{**hand, "files": names(hand["files"])} for hand in hands]}
    changed |= {key: names(entry[key]) for key in ("files", "pictures") if key in entry}
    return {**entry, **changed}
