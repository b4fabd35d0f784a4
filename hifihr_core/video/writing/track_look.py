"""The look of a tracked hand: skin and light, from a few clear frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import TexturedMesh
from hifihr_core.photos.camera_choice import CameraChoice
from hifihr_core.photos.detectors import Detection
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.records import Light
from hifihr_core.video.fitting.shape_fit import key_frames
from hifihr_core.video.fitting.sighted_tracks import SightedTrack
from hifihr_core.video.reading.frames import FrameSource, Span

#: Frames whose looks make that of a track.
_FRAMES = 3


@dataclass(frozen=True)
class TrackLook:
    """Skin and light of a track, one for all frames; `mesh` carries chart and texture (its vertices are one frame's).

    `shape` is the refined one, None without a refinement. `light` is in the camera frame of the clip.
    """

    mesh: TexturedMesh
    light: Light
    shape: Float[np.ndarray, " S"] | None
    licences: Mapping[str, str]


def look_at_tracks(
    predictor: Predictor, source: FrameSource, span: Span, tracks: Sequence[SightedTrack], K: Float[np.ndarray, "3 3"]
) -> dict[int, TrackLook]:
    """Return the look of every track, from its clearest frames: one skin for all of them.

    With `same_person` in the predictor's settings all tracks of the clip share that skin.
    """
    shots = _clearest_frames(source, span, tracks)
    results: dict[int, list[HandResult]] = {track.id: [] for track in tracks}
    for group in _people(shots, one_person=predictor.settings.same_person):
        photos = predictor.predict_person(
            [shot.image for shot in group],
            camera=CameraChoice(intrinsics=K),
            detections=[[shot.detection] for shot in group],
        )
        for shot, photo in zip(group, photos, strict=True):
            results[shot.id] += photo.hands
    return {id: _look(found, refined=predictor.settings.refine) for id, found in results.items()}


@dataclass(frozen=True)
class _Shot:
    """One clear frame of a track."""

    id: int
    image: UInt8[np.ndarray, "H W 3"]
    detection: Detection


def _people(shots: Sequence[_Shot], *, one_person: bool) -> list[list[_Shot]]:
    """Return the frames whose hands share a skin: those of each track, or all."""
    if one_person:
        return [list(shots)]
    return [[shot for shot in shots if shot.id == id] for id in sorted({shot.id for shot in shots})]


def _clearest_frames(source: FrameSource, span: Span, tracks: Sequence[SightedTrack]) -> list[_Shot]:
    wanted: dict[int, list[SightedTrack]] = {}
    for track in tracks:
        for place in key_frames(track.seen, _FRAMES):
            wanted.setdefault(int(track.frames[place]), []).append(track)
    shots = []
    for frame in source.frames(span):
        for track in wanted.pop(frame.number, ()):
            detection = _detection(track, frame.number, frame.image.shape[1])
            shots.append(_Shot(track.id, frame.image, detection))
        if not wanted:
            break
    return shots


def _detection(track: SightedTrack, number: int, width: int) -> Detection:
    place = int(np.flatnonzero(track.frames == number)[0])
    joints = track.seen.joints_px[place].copy()
    if track.side == "left":
        joints[:, 0] = width - joints[:, 0]
    box = np.concatenate((joints.min(axis=0), joints.max(axis=0)))
    return Detection(box, float(track.score[place]), track.side, joints, track.seen.weight[place])


def _look(found: Sequence[HandResult], *, refined: bool) -> TrackLook:
    meshes = [one.mesh for one in found]
    mesh = meshes[0]
    if mesh.texture is not None:
        textures = np.stack([one.texture for one in meshes if one.texture is not None])
        mesh = replace(mesh, texture=np.median(textures, axis=0).round().astype(np.uint8))
    elif mesh.vertex_colors is not None:
        mesh = replace(mesh, vertex_colors=np.median([one.vertex_colors for one in meshes], axis=0))
    shape = np.median([one.parameters["shape"] for one in found], axis=0) if refined else None
    return TrackLook(mesh, _light(found), shape, found[0].licences)


def _light(found: Sequence[HandResult]) -> Light:
    def median(name: str) -> torch.Tensor:
        return torch.from_numpy(np.median([one.light[name] for one in found], axis=0)).float()[None]

    direction = torch.nn.functional.normalize(median("direction"), dim=1)
    sky = median("sky") if all("sky" in one.light for one in found) else None
    return Light(median("ambient"), median("color"), direction, sky)


def mesh_at(
    look: TrackLook, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"] | None = None
) -> TexturedMesh:
    """Return the mesh of a frame; `faces` replace those of the look."""
    return replace(look.mesh, vertices=vertices, faces=look.mesh.faces if faces is None else faces, rig=None)
