"""Name the results of a clip, find those of earlier runs, and decide what may be replaced.

As for photos (`prediction.result_folder`), only the files that `hands.json` lists are results. Other files are never
overwritten or removed; if one has a name that the clip's results would need, the results get another stem.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hifihr_core.errors import DataError
from hifihr_core.exports.run_index import RunIndex
from hifihr_core.prediction.result_folder import candidate_stems, fingerprint, how_made, is_done
from hifihr_core.video.reading.frames import FrameSource
from hifihr_core.video.writing.track_files import TRACK_FORMATS

_ENDINGS = (".json", "_overlay.mp4", "_timeline.html")


def clip_key(source: FrameSource) -> str:
    """Return the name of a clip in `hands.json`: its path as given."""
    return str(source.path or source.facts.name)


def clip_stem(index: RunIndex, source: FrameSource) -> str:
    """Return the stem of a clip's file names, chosen so that they collide with no other file in the folder."""
    own = index.names(clip_key(source))
    there = {path.name for path in index.folder.iterdir()} if index.folder.is_dir() else set()
    stems = candidate_stems(Path(source.facts.name))
    return next(stem for stem in stems if not (_names_in(there, stem) - own))


def result_names(stem: str, tracks: Iterable[int], formats: Iterable[str]) -> list[str]:
    """Return every name that files of a clip with these tracks may have."""
    endings = list(formats)
    return [f"{stem}_track{n}.{ending}" for n in tracks for ending in endings] + [f"{stem}{end}" for end in _ENDINGS]


def finished_entry(index: RunIndex, source: FrameSource, settings: str) -> Mapping[str, Any] | None:
    """Return the entry of a clip that an earlier run finished with these settings; None if there are no results of it.

    Raises: DataError if there are results that this run would have to replace.
    """
    entry = index.entry(clip_key(source))
    if entry is None or not any((index.folder / name).exists() for name in index.names(clip_key(source))):
        return None
    if source.path is not None and source.path.is_file() and is_done(index, source.path, settings):
        return entry
    found = how_made(entry, "clip", file=clip_facts(source, settings).get("file"), settings=settings)
    raise DataError(f"{clip_key(source)}: {index.folder} {found}; give another --out, or --overwrite")


def clip_facts(source: FrameSource, settings: str) -> dict[str, object]:
    """Return the fingerprints of settings and file that an entry contains: if they are equal, so are the results."""
    file = {} if source.path is None or not source.path.is_file() else {"file": fingerprint(source.path)}
    return {"settings": settings, **file}


def _names_in(there: Iterable[str], stem: str) -> set[str]:
    """Return those of the names in `there` that the results of a clip with this stem may have."""
    of_tracks = re.compile(rf"{re.escape(stem)}_track\d+\.({'|'.join(TRACK_FORMATS)})")
    others = {f"{stem}{ending}" for ending in _ENDINGS}
    return {name for name in there if name in others or of_tracks.fullmatch(name)}
