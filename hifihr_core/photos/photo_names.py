"""Match the names of photos in a file of hands to the photos."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hifihr_core.errors import DataError
from hifihr_core.photos.detections import Detection


@dataclass(frozen=True)
class MatchedHands:
    """The hands in a file, by the photo that their name matches, and the names that match no photo."""

    hands: Mapping[str, tuple[Detection, ...]]
    unmatched: tuple[str, ...] = ()


def match_photos(
    hands: Mapping[str, tuple[Detection, ...]], photos: Sequence[str], name: str, *, root: Path = Path()
) -> MatchedHands:
    """Return the hands by photo; `name` is the name of the file, and `photos` are paths relative to `root`.

    A name matches the photo whose path equals it or ends with it (`a/img.jpg` matches `/photos/a/img.jpg`), with `/`
    or `\\`, with or without `./`; if there is no exact match, case is ignored.
    Raises: DataError for a name that matches several photos, two names that match one photo, or if no name matches any.
    """
    matched: dict[str, tuple[Detection, ...]] = {}
    unmatched: list[str] = []
    whole = {photo: _parts(os.path.abspath(root / photo)) for photo in photos}
    for key, found in hands.items():
        meant = _meant(key, whole)
        if len(meant) > 1:
            raise DataError(f"{name}: {key!r} matches {' and '.join(meant[:3])}; give more of the path")
        if not meant:
            unmatched.append(key)
        elif meant[0] in matched:
            raise DataError(f"{name}: two entries match {meant[0]} (the second is {key!r}); merge them into one list")
        else:
            matched[meant[0]] = found
    if unmatched and not matched:
        close = get_close_matches(_parts(unmatched[0])[-1], [_parts(photo)[-1] for photo in photos], n=1)
        likely = close[0] if close else Path(photos[0]).name if photos else "none"
        raise DataError(
            f"{name}: its entries match none of the photos (entry {unmatched[0]!r}, photo {likely!r}); "
            "name each entry after a photo"
        )
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
    """Return the folders and the name of a path; `.` is dropped, and a leading `..` matches any folder."""
    parts = os.path.normpath(path.replace("\\", "/")).split("/")
    return [part for part in parts if part not in ("", ".", "..")] or [path]
