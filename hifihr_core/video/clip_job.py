"""From a clip on disk to tracks on disk: what `hifihr predict` runs for clips."""

import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import nn

from hifihr_core import __version__
from hifihr_core.exports.formats import refuse_existing
from hifihr_core.exports.run_index import write_index
from hifihr_core.geometry.lenses import default_focal_px, ideal_K
from hifihr_core.hands import HandModel
from hifihr_core.lookup import needed
from hifihr_core.photos.camera_choice import CameraChoice
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.prediction.result_folder import digest
from hifihr_core.video.fitting.closer_look import look_closer
from hifihr_core.video.fitting.fitted_track import FittedTrack, TrackFitter
from hifihr_core.video.fitting.sighted_tracks import sighted_tracks
from hifihr_core.video.reading.containers import import_av
from hifihr_core.video.reading.frames import WHOLE, FrameSource, Span
from hifihr_core.video.tracking.journal import Journal
from hifihr_core.video.tracking.tracker import TrackSettings
from hifihr_core.video.tracking.watch_clip import watch_clip
from hifihr_core.video.tracking.watching import Watcher
from hifihr_core.video.writing.overlay_clip import OverlayRequest, write_overlay
from hifihr_core.video.writing.timeline_page import write_timeline
from hifihr_core.video.writing.track_files import (
    TRACK_FORMATS,
    TrackContext,
    check_track_formats,
    write_summary,
    write_track,
)
from hifihr_core.video.writing.track_look import TrackLook, look_at_tracks
from hifihr_core.video.writing.video_encoders import find_encoder


@dataclass(frozen=True)
class ClipOutput:
    """What is written, and where; `formats` are names of `TRACK_FORMATS`, `codec` one of `CODECS`."""

    folder: Path
    formats: Sequence[str] = tuple(TRACK_FORMATS)
    overlay: bool = True
    overwrite: bool = False
    bones: str = "vrm"
    forearm: bool = True
    codec: str = "auto"


@dataclass(frozen=True)
class ClipDone:
    """A finished clip: its tracks (their numbers are in the files), the files of each, and what was wrong with it."""

    name: str
    path: Path | None
    frames: int
    tracks: tuple[Mapping[str, Any], ...] = ()
    pictures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def document(self, folder: Path | None = None) -> dict[str, object]:
        """Return the entry of this clip in the JSON document on stdout and, with names in `folder`, in its index.

        `hands` is empty: those are hands of photos, which readers of an index can pose by themselves.
        """

        def name(path: object) -> str:
            return Path(str(path)).name if folder is not None else str(path)

        tracks = [{**track, "files": [name(path) for path in track["files"]]} for track in self.tracks]
        return {
            "path": str(self.path or self.name),
            "frames": self.frames,
            "hands": [],
            "tracks": tracks,
            "pictures": [name(path) for path in self.pictures],
            "notes": list(self.notes),
        }


#: What is done with the frames of a clip, in this order; `on_frame` is called with the stage and a frame's number.
STAGES = ("watch", "look closer", "overlay")

Module = TypeVar("Module", bound=nn.Module)
OnStage = Callable[[str, int], None]


def predict_clip(
    source: FrameSource,
    predictor: Predictor,
    watcher: Watcher,
    output: ClipOutput,
    *,
    span: Span = WHOLE,
    tracking: TrackSettings | None = None,
    camera: CameraChoice | None = None,
    on_frame: OnStage = lambda stage, number: None,
) -> ClipDone:
    """Track, fit and write the hands of one clip.

    Files are called after the clip: `a_track0.glb`, ..., `a_overlay.mp4`, `a.json`. An interrupted run resumes after
    its last finished frame, from the folder `.a_work`, which is removed at the end. Finding no hands is not an error:
    `tracks` is empty. Raises: ConfigError for an unknown format or codec; DataError if files exist or cannot be
    written.
    """
    formats = check_track_formats(output.formats)
    if output.overlay:
        find_encoder(import_av(), output.codec)
    stem, folder = Path(source.facts.name).stem, output.folder
    earlier = sorted(folder.glob(f"{stem}_track*")) + sorted(folder.glob(f"{stem}_overlay.mp4"))
    if not output.overwrite:
        refuse_existing(earlier)
    tracking = tracking or TrackSettings()
    K = clip_camera(source, camera)
    work = folder / f".{stem}_work"
    origin = _origin(source, span, tracking)
    journal = Journal(work / "seen.jsonl", origin)
    seen = watch_clip(source, watcher, journal, tracking, span, on_frame=lambda number: on_frame("watch", number))
    sighted = sighted_tracks(seen, K, source.facts.width, side=predictor.settings.side)
    looks = look_at_tracks(predictor, source, span, sighted, K)
    hand, sight = _on_cpu(predictor.hand), predictor.second_sight
    if sight is not None:
        sighted = look_closer(
            sight, hand, source, span, seen, sighted, on_frame=lambda number: on_frame("look closer", number)
        )
    fitter = TrackFitter(hand, _on_cpu(needed(predictor.lifter, "the lifter of a predictor for clips")))
    tracks = [fitter.fit(track, K, shape=looks[track.id].shape) for track in sighted]
    for path in earlier:
        path.unlink()
    entries = tuple(_write(track, stem, formats, source, hand, looks[track.id], output) for track in tracks)
    pictures: tuple[Path, ...] = ()
    if output.overlay and tracks:
        made_from = digest({**origin, "K": K.tolist(), "settings": predictor.settings})
        request = OverlayRequest(folder / f"{stem}_overlay.mp4", work, span, made_from, output.codec)
        shown = write_overlay(request, source, hand, tracks, looks, on_frame=lambda number: on_frame("overlay", number))
        page, ends = folder / f"{stem}_timeline.html", (seen[0].time_s, seen[-1].time_s + 1 / source.facts.fps)
        pictures = (shown, write_timeline(page, shown, tracks, start_s=ends[0], end_s=ends[1]))
    done = ClipDone(source.facts.name, source.path, len(seen), entries, pictures, tuple(source.notes))
    if tracks:
        write_summary(
            folder / f"{stem}.json",
            {"hifihr": __version__, **done.document(folder), "licences": dict(predictor.licences)},
        )
        write_index(folder, [done.document(folder)])
    shutil.rmtree(work)
    return done


def clip_camera(source: FrameSource, camera: CameraChoice | None) -> np.ndarray:
    """Return the K of a clip's upright pictures: what the user says, or a usual field of view."""
    facts = source.facts
    said = (camera or CameraChoice()).K(facts.width, facts.height)
    return said if said is not None else ideal_K(default_focal_px(facts.width, facts.height), facts.width, facts.height)


def _on_cpu(module: Module) -> Module:
    """Return a module on the device that solves thousands of tiny systems fastest: itself, or a copy."""
    one = next(iter((*module.parameters(), *module.buffers())))
    return module if one.device.type == "cpu" else copy.deepcopy(module).to("cpu")


def _origin(source: FrameSource, span: Span, tracking: TrackSettings) -> dict[str, object]:
    """Return what the journal of a clip depends on: another clip of this name does not continue it."""
    stat = source.path.stat() if source.path is not None else None
    file = None if stat is None else [stat.st_size, stat.st_mtime_ns]
    values = {"clip": vars(source.facts), "file": file, "span": vars(span), "tracking": vars(tracking)}
    return json.loads(json.dumps(values))


def _write(
    track: FittedTrack,
    stem: str,
    formats: Sequence[str],
    source: FrameSource,
    hand: HandModel,
    look: TrackLook,
    output: ClipOutput,
) -> dict[str, Any]:
    context = TrackContext(source.facts, hand, look, output.bones, output.forearm)
    files = write_track(output.folder, f"{stem}_track{track.id}", track, formats, context)
    found = track.seen
    return {
        "track": track.id,
        "side": track.side,
        "score": round(float(track.score[found].mean()), 4),
        "first_frame": int(track.frames[0]),
        "last_frame": int(track.frames[-1]),
        "first_time_s": round(float(track.times_s[0]), 4),
        "last_time_s": round(float(track.times_s[-1]), 4),
        "seen_frames": int(found.sum()),
        "files": [str(path) for path in files],
    }
