"""Find the photos that files, folders and patterns refer to."""

import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hifihr_core.errors import DataError
from hifihr_core.files import PHOTO_SUFFIXES
from hifihr_core.outside.folders import is_junk, natural_key


@dataclass(frozen=True)
class FoundPhotos:
    """The photos, without duplicates, and the other files in the searched folders."""

    photos: tuple[Path, ...]
    left_out: tuple[Path, ...] = ()

    def left_out_line(self) -> str | None:
        """Return one line with the number of skipped files, in total and by suffix, or None if there are none."""
        if not self.left_out:
            return None
        kinds = Counter(path.suffix.lower() or path.name for path in self.left_out)
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        return f"files skipped because they are not photos: {len(self.left_out)} ({named})"


def find_photos(patterns: Sequence[str | Path]) -> FoundPhotos:
    """Return the photos given as files, folders (without sub-folders) and globs (`**` includes sub-folders).

    The photos of each item are in natural order (2 before 10). Hidden companions that macOS and other systems leave
    beside photos (`._IMG.JPG`) are skipped. Raises: DataError for an item that matches nothing, and for a folder
    without photos.
    """
    photos: dict[Path, None] = {}
    others: dict[Path, None] = {}
    for pattern in patterns:
        matched, left_out = _matches(Path(pattern))
        photos.update(dict.fromkeys(matched))
        others.update(dict.fromkeys(left_out))
    return FoundPhotos(tuple(photos), tuple(others))


def _matches(pattern: Path) -> tuple[list[Path], list[Path]]:
    try:
        if pattern.is_dir():
            photos, others = _sort(path for path in pattern.iterdir() if path.is_file())
            if not photos:
                raise DataError(f"{pattern}: the folder contains no photos, expected files ending in {suffix_list()}")
            return photos, others
        if pattern.exists():
            return [pattern], []
        photos, _ = _sort(Path(path) for path in glob.glob(str(pattern), recursive=True))
    except OSError as error:
        raise DataError(f"{pattern}: cannot be read ({error.strerror}); check its name and permissions") from error
    if not photos:
        raise DataError(f"{pattern}: no such file or folder, and no photo matches it as a pattern; check the path")
    return photos, []


def _sort(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return photos and other files, each in natural order, without files that operating systems leave behind."""
    seen = sorted((path for path in paths if not is_junk(path.name)), key=lambda path: natural_key(str(path)))
    is_photo = {path: path.suffix.lower() in PHOTO_SUFFIXES for path in seen}
    return [path for path in seen if is_photo[path]], [path for path in seen if not is_photo[path]]


def suffix_list() -> str:
    """Return the suffixes of photos, separated by commas."""
    return ", ".join(sorted(PHOTO_SUFFIXES))
