"""The files of one track: numbers as .npz and .jsonl, the animated hand as .glb and .bvh; a table row per format."""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float

from hifihr_core import __version__
from hifihr_core.errors import ConfigError
from hifihr_core.exports.bvh import write_bvh
from hifihr_core.exports.clips import Clip
from hifihr_core.exports.forearm import with_forearm
from hifihr_core.exports.results import CONVENTIONS
from hifihr_core.exports.scenes import PhotoView, SceneHand, write_scene
from hifihr_core.exports.textured_meshes import Rig, TexturedMesh, hand_rig, mirror_x
from hifihr_core.files import write_atomically, write_text
from hifihr_core.hands import HandModel
from hifihr_core.lookup import needed
from hifihr_core.video.fitting.fitted_track import FittedTrack, vertices_cam
from hifihr_core.video.reading.frames import ClipFacts
from hifihr_core.video.writing.track_look import TrackLook

_BATCH = 128


@dataclass(frozen=True)
class TrackContext:
    """What a track's files depend on besides the track: its clip, hand model and look, and the options of its .glb.

    Without a look the mesh is grey. `bones` is a style of `bone_names`; with `forearm` the hand ends in a short stub.
    """

    clip: ClipFacts
    hand: HandModel
    look: TrackLook | None = None
    bones: str = "vrm"
    forearm: bool = True


def write_track(
    folder: Path, stem: str, track: FittedTrack, formats: Iterable[str], context: TrackContext
) -> list[Path]:
    """Write one track in the given formats; return the files. Raises: DataError if a file cannot be written."""
    return [path for name in formats for path in TRACK_FORMATS[name](folder / f"{stem}.{name}", track, context)]


def check_track_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without duplicates. Raises: ConfigError for an unknown one."""
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in TRACK_FORMATS:
            raise ConfigError(f"unknown format {name!r} for clips, expected one of {', '.join(TRACK_FORMATS)}")
    return chosen


def frame_document(
    track: FittedTrack, row: int, lights: Mapping[str, np.ndarray] = MappingProxyType({})
) -> dict[str, object]:
    """Return the content of the .jsonl line of one frame: row `row` of the track, and its lights if there are any."""
    hand = track.hand
    return {
        "frame": int(track.frames[row]),
        "time_s": round(float(track.times_s[row]), 6),
        "track": track.id,
        "side": track.side,
        "score": round(float(track.score[row]), 4),
        "seen": bool(track.seen[row]),
        "K": np.round(track.K, 4).tolist(),
        "joints_px": np.round(track.joints_px[row], 3).tolist(),
        "joints_cam": np.round(track.joints_cam[row], 6).tolist(),
        "parameters": {
            "global_orient": np.round(hand.turn[row], 6).tolist(),
            "pose": np.round(hand.pose[row], 6).tolist(),
            "shape": np.round(hand.shape, 6).tolist(),
            "root_cam": np.round(hand.root_cam[row], 6).tolist(),
        },
        **({"light": {name: np.round(of[row], 4).tolist() for name, of in lights.items()}} if lights else {}),
    }


def track_lights(track: FittedTrack, look: TrackLook | None) -> dict[str, Float[np.ndarray, "T *N"]]:
    """Return the light at every time of a track, by component, in the clip's camera axes; empty without a look."""
    if look is None:
        return {}
    parts = vars(look.light_at(track.times_s))
    return {name: values.double().numpy() for name, values in parts.items() if values is not None}


def track_rig(hand: HandModel, track: FittedTrack) -> tuple[Rig, Clip] | None:
    """Return a track's rig in the pose of its first frame, and its motion; None if the hand model has no armature.

    Both are in the camera frame of the clip, so they are mirrored for a left hand.
    """
    flip = np.diag([*track.axis, 1.0])
    frames, rig = [], None
    for first in range(0, len(track), _BATCH):
        placed = track.hand.part(slice(first, first + _BATCH)).placed()
        with torch.no_grad():
            armature = hand.armature(placed.parameters)
            if armature is None:
                return None
            T_root_bone = armature.T_root_bone.double().numpy()
            if rig is None:
                one = track.hand.part(slice(0, 1)).placed()
                rig = hand_rig(hand, one.parameters, one.root_cam)
        T_root_bone[..., :3, 3] += placed.root_cam.double().numpy()[:, None]
        frames.append(flip @ T_root_bone @ flip)
    times_s = track.times_s - track.times_s[0]
    return _mirrored(needed(rig, "the first frame of a track"), track), Clip(
        f"track{track.id}", times_s, np.concatenate(frames)
    )


def even_clip(clip: Clip) -> Clip:
    """Resample the clip at a constant rate, for formats that need one: each new frame is the nearest old one."""
    if len(clip.times_s) < 3:
        return clip
    step = float(np.median(np.diff(clip.times_s)))
    times_s = np.arange(int(np.floor(clip.times_s[-1] / step + 1e-6)) + 1) * step
    return Clip(clip.name, times_s, clip.T_cam_bone[_nearest(times_s, clip.times_s)])


def _nearest(times_s: np.ndarray, of: np.ndarray) -> np.ndarray:
    right = np.clip(np.searchsorted(of, times_s), 1, len(of) - 1)
    return np.where(times_s - of[right - 1] < of[right] - times_s, right - 1, right)


def _mirrored(rig: Rig, track: FittedTrack) -> Rig:
    if track.side == "right":
        return rig
    mesh = TexturedMesh(np.zeros((3, 3)), np.array([[0, 1, 2]]), vertex_colors=np.zeros((3, 3)), rig=rig)
    return needed(mirror_x(mesh).rig, "the rig of a mirrored mesh")


def _npz(path: Path, track: FittedTrack, context: TrackContext) -> list[Path]:
    hand, buffer = track.hand, io.BytesIO()
    arrays = {
        "clip": np.array(context.clip.name),
        "track": np.array(track.id),
        "side": np.array(track.side),
        "hand": np.array(context.hand.name),
        "frames": track.frames,
        "times_s": track.times_s,
        "score": track.score,
        "seen": track.seen,
        "K": track.K,
        "joints_cam": track.joints_cam,
        "joints_px": track.joints_px,
        "global_orient": hand.turn,
        "pose": hand.pose,
        "shape": hand.shape,
        "root_cam": hand.root_cam,
        **{f"light_{name}": values for name, values in track_lights(track, context.look).items()},
    }
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes names for options
    with write_atomically(path) as part:
        part.write_bytes(buffer.getvalue())
    return [path]


def _jsonl(path: Path, track: FittedTrack, context: TrackContext) -> list[Path]:
    first = {
        "clip": context.clip.name,
        "hifihr": __version__,
        "hand": context.hand.name,
        "conventions": dict(CONVENTIONS),
    }
    with write_atomically(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(first) + "\n")
        lights = track_lights(track, context.look)
        for row in range(len(track)):
            file.write(json.dumps(frame_document(track, row, lights), separators=(",", ":")) + "\n")
    return [path]


def _glb(path: Path, track: FittedTrack, context: TrackContext) -> list[Path]:
    moving = track_rig(context.hand, track)
    if moving is None:
        return []
    rig, clip = moving
    mesh = replace(_first_mesh(track, context), rig=rig)
    mesh = with_forearm(mesh) if context.forearm else mesh
    view = PhotoView(track.K, (context.clip.width, context.clip.height))
    extras = {"clip": context.clip.name, "first_frame": int(track.frames[0]), "first_time_s": float(track.times_s[0])}
    write_scene(path, [SceneHand(mesh, path.stem, track.side, [clip])], view=view, bones=context.bones, extras=extras)
    return [path]


def _bvh(path: Path, track: FittedTrack, context: TrackContext) -> list[Path]:
    moving = track_rig(context.hand, track)
    if moving is None:
        return []
    write_bvh(path, moving[0], even_clip(moving[1]), side=track.side, bones=context.bones)
    return [path]


def _first_mesh(track: FittedTrack, context: TrackContext) -> TexturedMesh:
    """Return the textured mesh of the first frame, in the camera frame of the clip."""
    vertices = vertices_cam(context.hand, track, slice(0, 1))[0]
    if context.look is not None:  # the mesh is in the frame of the clip, so mirrored for a left hand
        return replace(context.look.mesh, vertices=vertices)
    faces = context.hand.faces.long().numpy()
    grey: Float[np.ndarray, "V 3"] = np.full((len(vertices), 3), 0.7)
    faces = faces[:, ::-1].copy() if track.side == "left" else faces
    return TexturedMesh(vertices, faces, vertex_colors=grey, lid_faces=context.hand.lid_faces)


#: Every format of a track, by file extension.
TRACK_FORMATS: Mapping[str, Callable[[Path, FittedTrack, TrackContext], list[Path]]] = MappingProxyType(
    {"glb": _glb, "bvh": _bvh, "npz": _npz, "jsonl": _jsonl}
)


def write_summary(path: Path, document: Mapping[str, object]) -> None:
    """Write the .json of a clip."""
    write_text(path, json.dumps(document, indent=1) + "\n")
