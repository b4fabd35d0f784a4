"""Write the overlay: the clip with its hands drawn over it.

It is written in parts, so an interrupted run resumes after the last finished part.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from hifihr_core.exports.textured_meshes import appearance_of
from hifihr_core.hands import HandModel
from hifihr_core.machine.device import one_thread
from hifihr_core.placed_hands import default_light
from hifihr_core.records import Appearance, Light
from hifihr_core.video.fitting.fitted_track import FittedTrack, vertices_cam
from hifihr_core.video.reading.frames import Frame, FrameSource, Span
from hifihr_core.video.writing.clip_writer import join_parts, new_clip
from hifihr_core.video.writing.hand_painter import HandPainter
from hifihr_core.video.writing.track_look import TrackLook

#: Frames per part, and the number of hands posed at once.
_PART = 120


@dataclass(frozen=True)
class OverlayRequest:
    """The overlay to write: its file, the folder for its parts, its span of the clip, and its codec (in `CODECS`).

    `made_from` is a digest of the clip, its camera, the models and the settings: parts with another digest are not
    used.
    """

    path: Path
    work: Path
    span: Span
    made_from: str
    codec: str = "auto"


def write_overlay(
    request: OverlayRequest,
    source: FrameSource,
    hand: HandModel,
    tracks: Sequence[FittedTrack],
    looks: Mapping[int, TrackLook],
    *,
    on_frame: Callable[[int], None] = lambda number: None,
) -> Path:
    """Write the overlay of a clip with the original sound; return its path.

    Parts that an earlier run finished are reused. Raises: DataError if a file cannot be written.
    """
    painters = {track.id: _painter(hand, track, looks.get(track.id)) for track in tracks}
    parts: list[tuple[Path, float]] = []
    first_s, facts = None, source.facts
    for number, frames in enumerate(_batches(source.frames(request.span), _PART)):
        part = request.work / f"part_{request.codec}_{request.made_from}_{number:05}.mp4"
        first_s = frames[0].time_s if first_s is None else first_s
        parts.append((part, frames[0].time_s - first_s))
        if not part.is_file():
            size = {"width": facts.width, "height": facts.height}
            with one_thread(), new_clip(part, **size, fps=facts.fps, codec=request.codec) as writer:
                for frame, image in _painted(frames, hand, tracks, painters, looks):
                    writer.write(image, frame.time_s - frames[0].time_s)
                    on_frame(frame.number)
    sound = source.path if facts.has_audio else None
    if not join_parts(request.path, parts, sound=sound, start_s=first_s or 0.0, end_s=request.span.end_s):
        source.note("the overlay has no sound: an mp4 cannot hold the clip's sound format")
    return request.path


def _painted(
    frames: Sequence[Frame],
    hand: HandModel,
    tracks: Sequence[FittedTrack],
    painters: Mapping[int, HandPainter],
    looks: Mapping[int, TrackLook],
) -> Iterator[tuple[Frame, np.ndarray]]:
    numbers = np.array([frame.number for frame in frames])
    posed: dict[int, dict[int, np.ndarray]] = {}
    for track in tracks:
        rows = np.flatnonzero(np.isin(track.frames, numbers))
        if len(rows):
            posed[track.id] = dict(zip(track.frames[rows].tolist(), vertices_cam(hand, track, rows), strict=True))
    K = tracks[0].K if tracks else np.eye(3)
    for frame in frames:
        canvas = frame.image.copy()
        here = [(id, of[frame.number]) for id, of in posed.items() if frame.number in of]
        for id, vertices in sorted(here, key=lambda one: -one[1][:, 2].mean()):  # the nearest hand last
            look = looks.get(id)
            light = None if look is None else look.light_at(np.array([frame.time_s]))
            painters[id].paint(canvas, vertices, K, light)
        yield frame, canvas


def _painter(hand: HandModel, track: FittedTrack, look: TrackLook | None) -> HandPainter:
    if look is not None:
        return HandPainter(look.mesh.faces, appearance_of(look.mesh), look.light_at(look.times_s[:1]))
    faces = hand.faces.long().numpy()
    grey = Appearance(torch.full((1, hand.num_vertices, 3), 0.7))
    light: Light = default_light(torch.zeros(1))
    return HandPainter(faces[:, ::-1] if track.side == "left" else faces, grey, light)


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    frames = iter(frames)
    while batch := list(islice(frames, size)):
        yield batch
