"""The part of `hifihr predict` for clips and camera recordings."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hifihr_cli.console import emit_json, emit_table, progress, say
from hifihr_cli.imports import quick_imports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifihr_core.errors import DataError
    from hifihr_core.photos.camera_choice import CameraChoice
    from hifihr_core.video.reading.frames import FrameSource

#: The same extensions as in `hifihr_core.video.reading.containers`, which is too heavy to import here.
_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")
#: Parameters of `predict` that only concern photos.
_PHOTOS_ONLY = ("detector", "min_score", "boxes", "box", "hand", "joints", "backdrop", "page")
#: The formats written for a clip without `--format`.
_CLIP_DEFAULT = "glb,bvh,npz,jsonl"


@dataclass(frozen=True)
class ClipOptions:
    """The options of `predict` that concern clips.

    `format` None means `_CLIP_DEFAULT`; `end_s` None means the end of the clip. Every `every`-th frame is used.
    """

    out: Path
    format: str | None
    overlay: bool
    overwrite: bool
    bones: str
    forearm: bool
    codec: str
    start_s: float
    end_s: float | None
    every: int
    max_hands: int


def has_clips(words: "Sequence[str]") -> bool:
    """Return whether the arguments are clips. Raises: BadParameter for a mix of clips and photos."""
    clips = [word for word in words if word.lower().endswith(_SUFFIXES)]
    if clips and len(clips) < len(words):
        raise typer.BadParameter("clips and photos cannot be mixed; predict them in separate runs")
    return bool(clips)


def note_ignored(context: typer.Context) -> None:
    """Print a note that names the options on the command line that clips ignore."""
    given = [name for name in _PHOTOS_ONLY if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        say(f"{options}: only for photos, ignored for clips", kind="note")


def predict_clips(
    words: "Sequence[str]",
    options: ClipOptions,
    models: "tuple[Path | None, Any, str]",
    camera: "CameraChoice",
    *,
    webcam: int | None,
    fps: float | None,
    json: bool,
) -> None:
    """Predict clips one by one, then report on all; `models` are checkpoint, settings and device of the predictor.

    If a clip fails, the others are still processed. Raises: FindingsError if some clips failed or no hand was found in
    any; DataError if all clips failed; AssetError if there is no lifter for the hand model.
    """
    with quick_imports():
        from hifihr_core.errors import AssetError, DataError
        from hifihr_core.machine.device import choose_device
        from hifihr_core.prediction.predictor import Predictor
        from hifihr_core.video.clip_job import STAGES, ClipOutput, predict_clip
        from hifihr_core.video.reading.frames import Span
        from hifihr_core.video.tracking.tracker import TrackSettings
        from hifihr_core.video.tracking.watching import QuickEyes

    formats = _CLIP_DEFAULT if options.format is None else options.format
    output = ClipOutput(
        options.out,
        tuple(name.strip() for name in formats.split(",")),
        options.overlay,
        options.overwrite,
        bones=options.bones,
        forearm=options.forearm,
        codec=options.codec,
    )
    span = Span(options.start_s, options.end_s, options.every)
    sources = _sources(words, options, webcam, fps)
    checkpoint, settings, device = models
    predictor = Predictor.load(checkpoint, settings=settings, device=choose_device(device))
    if predictor.lifter is None:
        raise AssetError(
            f"clips need a lifter, and none is installed for the hand {predictor.hand.name}; leave out --checkpoint"
        )
    watcher = QuickEyes.load()
    done: list[_Clip] = []
    for source in sources:
        total = source.facts.num_frames
        with progress(source.facts.name, unit="frames") as bar:

            def on_frame(stage: str, number: int, total: int | None = total, bar: Any = bar) -> None:
                bar(number + 1 + (total or 0) * STAGES.index(stage), len(STAGES) * total if total else None)

            tracking = TrackSettings(max_hands=options.max_hands)
            try:
                found = predict_clip(
                    source, predictor, watcher, output, span=span, tracking=tracking, camera=camera, on_frame=on_frame
                )
            except DataError as error:
                named = error if source.facts.name in str(error) else DataError(f"{source.facts.name}: {error}")
                done.append(_Clip(_failed(source, named), named))
            else:
                done.append(_Clip(found.document(), kept=found.kept))
    _report(done, json)


@dataclass(frozen=True)
class _Clip:
    """What remains in memory of a clip after its files are written; `kept` is True if an earlier run wrote them."""

    document: "dict[str, Any]"
    error: "DataError | None" = None
    kept: bool = False


def _failed(source: "FrameSource", error: "DataError") -> "dict[str, Any]":
    nothing: dict[str, Any] = {"hands": [], "tracks": [], "files": [], "pictures": [], "notes": list(source.notes)}
    return {"path": str(source.path or source.facts.name), **nothing, "error": str(error)}


def _sources(
    words: "Sequence[str]", options: ClipOptions, webcam: int | None, fps: float | None
) -> "list[FrameSource]":
    from hifihr_core.video.reading.containers import VideoFile
    from hifihr_core.video.reading.picture_folder import PictureSequence
    from hifihr_core.video.writing.recording import record

    if webcam is not None:
        from hifihr_core.video.reading.webcam import Webcam

        camera = Webcam(webcam)
        say(f"recording from camera {webcam}; stop with Ctrl-C", kind="note")
        return [record(camera, options.out, end_s=options.end_s)]
    if fps is not None:
        return [PictureSequence(list(words), fps=fps)]
    return [VideoFile(Path(word)) for word in words]


def _report(done: "Sequence[_Clip]", json: bool) -> None:
    from hifihr_core.errors import DataError, FindingsError

    documents = [one.document for one in done]
    if json:
        emit_json({"clips": documents})
    for one in documents:
        for note in one["notes"]:
            say(f"{one['path']}: {note}", kind="warning")
    failed = [one.error for one in done if one.error is not None]
    if len(failed) == len(done) == 1:
        raise failed[0]
    for error in failed:
        say(str(error), kind="warning")
    if kept := sum(one.kept for one in done):
        say(f"clips done by an earlier run: {kept} of {len(done)}; --overwrite predicts them again", kind="note")
    rows = [_row(one, track) for one in documents for track in one["tracks"]]
    if not json and rows:
        emit_table(("clip", "track", "side", "seconds", "score", "files"), rows)
    if len(failed) == len(done):
        raise DataError(
            f"none of the {len(done)} clips could be processed; fix what the warnings above name, "
            "then run the command again"
        )
    if not rows:
        count = len(done) - len(failed)
        raise FindingsError(
            f"no hand was found in {count} clip{'s'[: count > 1]}; check --from and --to and use --every 1, or predict "
            "single frames as photos with --detector thorough"
        )
    for clip in done:
        if clip.error is None and not clip.document["tracks"]:
            say(f"{clip.document['path']}: no hand was found", kind="warning")
    if failed:
        raise FindingsError(f"{len(failed)} of {len(done)} clips could not be processed; the rest are done")


def _row(clip: "dict[str, Any]", track: "dict[str, Any]") -> tuple[object, ...]:
    seconds = f"{track['first_time_s']:.2f}-{track['last_time_s']:.2f}"
    files = " ".join(track["files"][:1])
    return Path(clip["path"]).name, track["track"], track["side"], seconds, f"{track['score']:.2f}", files
