"""Which photo a name in a file means."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hifihr_core.errors import DataError
from hifihr_core.photos.detections import Detection


@dataclass(frozen=True)
class MatchedHands:
    """The hands of each photo that a file names, and the names in it that match no photo."""

    hands: Mapping[str, tuple[Detection, ...]]
    unmatched: tuple[str, ...] = ()


def match_photos(
    hands: Mapping[str, tuple[Detection, ...]], photos: Sequence[str], name: str, *, root: Path = Path()
) -> MatchedHands:
    """Return the hands by photo; `name` is that of the file, and `photos` are paths relative to `root`.

    A name means the photo whose path it is, or is the end of (`a/img.jpg` of `/photos/a/img.jpg`), with `/` or `\\`,
    with or without `./`; if none has that spelling, case is ignored.
    Raises: DataError for a name that means several photos, or if no name means any.
    """
    matched: dict[str, tuple[Detection, ...]] = {}
    unmatched: list[str] = []
    whole = {photo: _parts(os.path.abspath(root / photo)) for photo in photos}
    for key, found in hands.items():
        meant = _meant(key, whole)
        if len(meant) > 1:
            raise DataError(f"{name}: {key!r} may be {' or '.join(meant[:3])}; write more of the path")
        if not meant:
            unmatched.append(key)
        elif meant[0] in matched:
            raise DataError(f"{name}: two entries mean {meant[0]}, the second is {key!r}; write them as one list")
        else:
            matched[meant[0]] = found
    if unmatched and not matched:
        close = get_close_matches(_parts(unmatched[0])[-1], [_parts(photo)[-1] for photo in photos], n=1)
        likely = close[0] if close else Path(photos[0]).name if photos else "none"
        raise DataError(f"{name}: names none of the photos (it has {unmatched[0]!r}, the photos are like {likely!r})")
    return MatchedHands(matched, tuple(unmatched))


def _meant(key: str, photos: Mapping[str, list[str]]) -> list[str]:
    if key in photos:
        return [key]
    for fold in (str, str.casefold):
        wanted = [fold(part) for part in _parts(key)]
        found = [photo for photo, parts in photos.items() if [*map(fold, parts)][-len(wanted) :] == wanted]
        if found:
            return found
    return []


def _parts(path: str) -> list[str]:
    """Return the folders and the name of a path; `.` is dropped, and `..` at its beginning may be any folder."""
    parts = os.path.normpath(path.replace("\\", "/")).split("/")
    return [part for part in parts if part not in ("", ".", "..")] or [path]
