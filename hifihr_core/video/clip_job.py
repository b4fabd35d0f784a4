"""Track, fit and write the hands of a clip: the work of `hifihr predict` for clips."""

import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float
from torch import nn

from hifihr_core import __version__
from hifihr_core.exports.run_index import RunIndex
from hifihr_core.geometry.lenses import default_focal_px, ideal_K
from hifihr_core.hands import HandModel
from hifihr_core.lookup import needed
from hifihr_core.photos.camera_choice import CameraChoice, check_camera
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.prediction.result_folder import digest, remove_leftovers
from hifihr_core.video.fitting.closer_look import closer_hands, with_lift
from hifihr_core.video.fitting.fitted_track import FittedTrack, TrackFitter
from hifihr_core.video.fitting.sighted_tracks import sighted_tracks
from hifihr_core.video.reading.containers import import_av
from hifihr_core.video.reading.frames import WHOLE, FrameSource, Span
from hifihr_core.video.tracking.journal import Journal
from hifihr_core.video.tracking.tracker import TrackSettings
from hifihr_core.video.tracking.watch_clip import watch_clip
from hifihr_core.video.tracking.watching import Watcher
from hifihr_core.video.writing.clip_results import clip_facts, clip_key, clip_stem, finished_entry, result_names
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
    """What is written for a clip, and to which folder.

    `formats` are names in `TRACK_FORMATS`, `bones` is a style of `bone_names`, `codec` a key of `CODECS`. `overlay`
    adds the overlay and its timeline page, `forearm` a forearm stub to the hands in .glb files. With `overwrite`,
    earlier results of the clip are replaced.
    """

    folder: Path
    formats: Sequence[str] = tuple(TRACK_FORMATS)
    overlay: bool = True
    overwrite: bool = False
    bones: str = "vrm"
    forearm: bool = True
    codec: str = "auto"


@dataclass(frozen=True)
class ClipDone:
    """A finished clip: a summary of each track with the names of its files, and the problems found (`notes`).

    `files` and `pictures` (the overlay and its timeline page) belong to the whole clip, not to a track. `kept` is True
    if an earlier run finished the clip.
    """

    name: str
    path: Path | None
    frames: int
    tracks: tuple[Mapping[str, Any], ...] = ()
    pictures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    kept: bool = False

    def document(self, folder: Path | None = None) -> dict[str, object]:
        """Return this clip's entry in the JSON document on stdout or, given `folder`, in the folder's index.

        On stdout, files are given by path; in the index, by name. `hands` is empty: it lists hands of photos.
        """

        def name(path: object) -> str:
            return Path(str(path)).name if folder is not None else str(path)

        tracks = [{**track, "files": [name(path) for path in track["files"]]} for track in self.tracks]
        return {
            "path": str(self.path or self.name),
            "frames": self.frames,
            "hands": [],
            "tracks": tracks,
            "files": [name(path) for path in self.files],
            "pictures": [name(path) for path in self.pictures],
            "notes": list(self.notes),
        }


#: Stages of processing a clip, in this order; `on_frame` is called with the stage and a frame number.
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

    Files are named after the clip: for `a.mp4`, they are `a_track0.glb`, ..., `a_overlay.mp4` and `a.json`.
    `hands.json` lists them; other files are left alone. A clip that an earlier run finished is skipped; an interrupted
    run resumes after its last finished frame, from the folder `.a_work`, which is removed at the end. A clip without
    hands is not an error: `tracks` is empty. `on_frame` is called with a name in `STAGES` and a frame number. Raises:
    ConfigError for an unknown format or codec; AssetError if PyAV or the codec is not installed; DataError if results
    with other settings exist, the camera is implausible, or files cannot be read or written.
    """
    check_track_formats(output.formats)
    if output.overlay:
        find_encoder(import_av(), output.codec)
    job = _Job(source, predictor, output, span, tracking or TrackSettings(), clip_camera(source, camera), on_frame)
    with RunIndex(output.folder) as index:
        entry = None if output.overwrite else finished_entry(index, source, job.settings)
        return job.run(index, watcher) if entry is None else _kept(source, entry, output.folder)


@dataclass(frozen=True)
class _Job:
    """A clip and everything that its results depend on; `K` is its camera."""

    source: FrameSource
    predictor: Predictor
    output: ClipOutput
    span: Span
    tracking: TrackSettings
    K: Float[np.ndarray, "3 3"]
    on_frame: OnStage

    @property
    def origin(self) -> dict[str, object]:
        """Return what the sightings in the journal depend on: an earlier journal is continued only if this is equal."""
        path = self.source.path
        stat = path.stat() if path is not None else None
        file = None if stat is None else [stat.st_size, stat.st_mtime_ns]
        values = {"clip": vars(self.source.facts), "file": file, "span": vars(self.span)}
        return json.loads(json.dumps({**values, "tracking": vars(self.tracking)}))

    @property
    def made_from(self) -> str:
        """Return a fingerprint of what the hands depend on: the clip, its camera, the models and the settings."""
        models, settings = self.predictor.source, self.predictor.settings
        return digest({**self.origin, "K": self.K.tolist(), "settings": settings, "models": models})

    @property
    def settings(self) -> str:
        """Return a fingerprint of what the files depend on: `made_from` and the output settings."""
        output = replace(self.output, folder=Path(), formats=sorted(self.output.formats), overwrite=False)
        return digest([self.made_from, output])

    def run(self, index: RunIndex, watcher: Watcher) -> ClipDone:
        """Run all stages, record the clip in `index`, and return it."""
        source, folder, stem = self.source, self.output.folder, clip_stem(index, self.source)
        work = folder / f".{stem}_work"
        seen = watch_clip(
            source,
            watcher,
            Journal(work / "seen.jsonl", self.origin),
            self.tracking,
            self.span,
            on_frame=lambda number: self.on_frame("watch", number),
        )
        sighted = sighted_tracks(seen, self.K, source.facts.width, side=self.predictor.settings.side)
        looks = look_at_tracks(self.predictor, source, self.span, sighted, self.K)
        hand, sight = _on_cpu(self.predictor.hand), self.predictor.second_sight
        if sight is not None:
            closer = closer_hands(
                sight,
                hand,
                source,
                self.span,
                seen,
                sighted,
                on_frame=lambda number: self.on_frame("look closer", number),
            )
            sighted = [with_lift(hand, track, closer.get(track.id)) for track in sighted]
        fitter = TrackFitter(hand, _on_cpu(needed(self.predictor.lifter, "the lifter of the predictor")))
        tracks = [fitter.fit(track, self.K, shape=looks[track.id].shape) for track in sighted]
        earlier = index.names(clip_key(source))
        remove_leftovers(index, Path(clip_key(source)), written=())
        done = ClipDone(source.facts.name, source.path, len(seen), notes=tuple(source.notes))
        if tracks:
            names = result_names(stem, (track.id for track in tracks), self.output.formats)
            index.plan(clip_key(source), sorted({*names, *earlier}))
            done = self._write(done, stem, work, (seen[0].time_s, seen[-1].time_s), hand, tracks, looks)
        if tracks or earlier:
            index.add({**done.document(folder), **clip_facts(source, self.settings)})
        shutil.rmtree(work)
        return done

    def _write(
        self,
        done: ClipDone,
        stem: str,
        work: Path,
        ends: tuple[float, float],
        hand: HandModel,
        tracks: Sequence[FittedTrack],
        looks: Mapping[int, TrackLook],
    ) -> ClipDone:
        """Write all files of a clip with hands; return `done` with their names.

        `ends` are the times of the first and last frame, seconds.
        """
        source, output = self.source, self.output
        entries = tuple(_write(track, stem, source, hand, looks[track.id], output) for track in tracks)
        pictures: tuple[Path, ...] = ()
        if output.overlay:
            request = OverlayRequest(
                output.folder / f"{stem}_overlay.mp4", work, self.span, self.made_from, output.codec
            )
            shown = write_overlay(
                request, source, hand, tracks, looks, on_frame=lambda number: self.on_frame("overlay", number)
            )
            page, end_s = output.folder / f"{stem}_timeline.html", ends[1] + 1 / source.facts.fps
            pictures = (shown, write_timeline(page, shown, tracks, start_s=ends[0], end_s=end_s))
        summary = output.folder / f"{stem}.json"
        done = replace(done, tracks=entries, files=(summary,), pictures=pictures, notes=tuple(source.notes))
        licences = dict(self.predictor.licences)
        write_summary(summary, {"hifihr": __version__, **done.document(output.folder), "licences": licences})
        return done


def _kept(source: FrameSource, entry: Mapping[str, Any], folder: Path) -> ClipDone:
    """Return the clip that an earlier run finished, from its entry in the index."""

    def paths(names: Sequence[str]) -> tuple[Path, ...]:
        return tuple(folder / name for name in names)

    tracks = tuple({**track, "files": [str(path) for path in paths(track["files"])]} for track in entry["tracks"])
    return ClipDone(
        source.facts.name,
        source.path,
        entry["frames"],
        tracks,
        paths(entry["pictures"]),
        tuple(entry["notes"]),
        paths(entry["files"]),
        kept=True,
    )


def clip_camera(source: FrameSource, camera: CameraChoice | None) -> np.ndarray:
    """Return K for a clip's upright frames: the user's choice, or one with a diagonal field of view of 60 degrees.

    Raises: DataError for an implausible field of view.
    """
    name, width, height = source.facts.name, source.facts.width, source.facts.height
    said = (camera or CameraChoice()).K(width, height)
    K = ideal_K(default_focal_px(width, height), width, height) if said is None else said
    check_camera(K, width, height, what=f"frames of {name} with")
    return K


def _on_cpu(module: Module) -> Module:
    """Return the module on the CPU, where thousands of tiny systems are solved fastest; copied if it is elsewhere."""
    one = next(iter((*module.parameters(), *module.buffers())))
    return module if one.device.type == "cpu" else copy.deepcopy(module).to("cpu")


def _write(
    track: FittedTrack,
    stem: str,
    source: FrameSource,
    hand: HandModel,
    look: TrackLook,
    output: ClipOutput,
) -> dict[str, Any]:
    context = TrackContext(source.facts, hand, look, output.bones, output.forearm)
    formats = check_track_formats(output.formats)
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
