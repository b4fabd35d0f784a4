"""Name the results of a clip, find those of earlier runs, and decide what may be replaced.

As for photos (`prediction.result_folder`), results are what `hands.json` lists. Other files are never written to or
removed, whatever their names; the results of the clip then get another stem.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hifihr_core.errors import DataError
from hifihr_core.exports.run_index import RunIndex
from hifihr_core.prediction.result_folder import candidate_stems, fingerprint, is_done
from hifihr_core.video.reading.frames import FrameSource
from hifihr_core.video.writing.track_files import TRACK_FORMATS

_ENDINGS = (".json", "_overlay.mp4", "_timeline.html")


def clip_key(source: FrameSource) -> str:
    """Return the name of a clip in `hands.json`: its path as given."""
    return str(source.path or source.facts.name)


def clip_stem(index: RunIndex, source: FrameSource) -> str:
    """Return a stem for a clip's files that no other files use."""
    own = index.names(clip_key(source))
    there = {path.name for path in index.folder.iterdir()} if index.folder.is_dir() else set()
    stems = candidate_stems(Path(source.facts.name))
    return next(stem for stem in stems if not (_names_in(there, stem) - own))


def result_names(stem: str, tracks: Iterable[int], formats: Iterable[str]) -> list[str]:
    """Return every name that files of a clip with these tracks may have."""
    endings = list(formats)
    return [f"{stem}_track{n}.{ending}" for n in tracks for ending in endings] + [f"{stem}{end}" for end in _ENDINGS]


def finished_entry(index: RunIndex, source: FrameSource, settings: str) -> Mapping[str, Any] | None:
    """Return the entry of a clip that an earlier run finished with these settings, if its files exist, or None.

    Raises: DataError if there are results of this clip with other settings, or of another version of it.
    """
    entry = index.entry(clip_key(source))
    if entry is None or not any((index.folder / name).exists() for name in index.names(clip_key(source))):
        return None
    if source.path is not None and source.path.is_file() and is_done(index, source.path, settings):
        return entry
    raise DataError(
        f"{clip_key(source)}: {index.folder} already holds results with other settings or of another version of "
        "this clip; give another --out, or --overwrite"
    )


def clip_facts(source: FrameSource, settings: str) -> dict[str, object]:
    """Return an entry without its files: everything that must be equal for the results to be the same."""
    file = {} if source.path is None or not source.path.is_file() else {"file": fingerprint(source.path)}
    return {"settings": settings, **file}


def _names_in(there: Iterable[str], stem: str) -> set[str]:
    """Return the names that a clip with this stem might write."""
    of_tracks = re.compile(rf"{re.escape(stem)}_track\d+\.({'|'.join(TRACK_FORMATS)})")
    others = {f"{stem}{ending}" for ending in _ENDINGS}
    return {name for name in there if name in others or of_tracks.fullmatch(name)}
