"""Infer the look of a tracked hand, its skin and light, from a few clear frames."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from hifihr_core.errors import DataError
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import TexturedMesh
from hifihr_core.photos.camera_choice import CameraChoice
from hifihr_core.photos.detectors import Detection
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.records import Light
from hifihr_core.video.fitting.shape_fit import key_frames
from hifihr_core.video.fitting.sighted_tracks import SightedTrack
from hifihr_core.video.reading.frames import Frame, FrameSource, Span

#: Number of frames from which a look is inferred: about one per second, and few if each is refined.
_LEAST_FRAMES, _MOST_FRAMES, _REFINED_FRAMES = 3, 8, 3


@dataclass(frozen=True)
class TrackLook:
    """The look of a track: one skin, and a light that changes over time.

    `mesh` holds the skin: a texture with its UV chart, or vertex colours (its vertices are those of one frame).
    `lights` are a batch, in the camera frame of the clip, at `times_s`, between which `light_at` interpolates. `shape`
    is the refined shape, None without refinement.
    """

    mesh: TexturedMesh
    times_s: Float[np.ndarray, " M"]
    lights: Light
    shape: Float[np.ndarray, " S"] | None
    licences: Mapping[str, str]

    def light_at(self, times_s: Float[np.ndarray, " T"]) -> Light:
        """Return the lights at the given times, as a batch: linear between the known ones, constant beyond the ends."""

        def between(values: torch.Tensor) -> torch.Tensor:
            flat = values.flatten(1).double().numpy()
            rows = np.stack([np.interp(times_s, self.times_s, column) for column in flat.T], axis=1)
            return torch.from_numpy(rows).float().reshape(len(times_s), *values.shape[1:])

        lights = self.lights
        direction = torch.nn.functional.normalize(between(lights.direction), dim=1)
        sky = None if lights.sky is None else between(lights.sky)
        return Light(between(lights.ambient), between(lights.color), direction, sky)


def look_at_tracks(
    predictor: Predictor, source: FrameSource, span: Span, tracks: Sequence[SightedTrack], K: Float[np.ndarray, "3 3"]
) -> dict[int, TrackLook]:
    """Return the look of every track, by identity: its clearest frames are predicted as photos of one person.

    With `same_person` in the predictor's settings, all tracks of the clip share one skin. Raises: DataError if none of
    a track's clearest frames can be read a second time.
    """
    settings = predictor.settings
    results: dict[int, list[tuple[float, HandResult]]] = {track.id: [] for track in tracks}
    wanted = {track.id: _chosen_frames(track, refined=settings.refine) for track in tracks}
    for group in _groups(source.frames(span), tracks, wanted, one_person=settings.same_person):
        photos = predictor.predict_person(
            [shot.image for shot in group],
            camera=CameraChoice(intrinsics=K),
            detections=[[shot.detection] for shot in group],
        )
        for shot, photo in zip(group, photos, strict=True):
            results[shot.id].append((shot.time_s, photo.hands[0]))
    for id, found in results.items():
        if not found:
            numbers = ", ".join(map(str, sorted(wanted[id])))
            raise DataError(
                f"{source.facts.name}: no frame of track {id} could be read a second time (tried {numbers}); "
                "wait until the clip is complete, then run again"
            )
    return {id: _look(found, refined=settings.refine) for id, found in results.items()}


@dataclass(frozen=True)
class _Shot:
    """One clear frame of a track, with the sighting of its hand."""

    id: int
    time_s: float
    image: UInt8[np.ndarray, "H W 3"]
    detection: Detection


def _groups(
    frames: Iterable[Frame], tracks: Sequence[SightedTrack], wanted: Mapping[int, set[int]], *, one_person: bool
) -> Iterator[list[_Shot]]:
    """Yield the wanted frames in groups whose hands share a skin.

    A group holds the frames of one track, as soon as it is complete, or of all tracks if `one_person`. `wanted` maps
    the identity of each track to the numbers of its frames.
    """
    last = max((max(own) for own in wanted.values()), default=-1)
    shots: dict[int, list[_Shot]] = {track.id: [] for track in tracks}
    for frame in frames:
        for track in tracks:
            if frame.number in wanted[track.id]:
                detection = _detection(track, frame.number, frame.image.shape[1])
                shots[track.id].append(_Shot(track.id, frame.time_s, frame.image, detection))
                if frame.number == max(wanted[track.id]) and not one_person:
                    yield shots.pop(track.id)
        if frame.number >= last:
            break
    rest = [own for own in shots.values() if own]  # even if the clip yields fewer frames the second time
    yield from [[shot for own in rest for shot in own]] if one_person and rest else rest


def _chosen_frames(track: SightedTrack, *, refined: bool) -> set[int]:
    seconds = float(track.seen.times_s[-1] - track.seen.times_s[0])
    count = _REFINED_FRAMES if refined else int(np.clip(round(seconds), _LEAST_FRAMES, _MOST_FRAMES))
    return {int(track.frames[place]) for place in key_frames(track.seen, count)}


def _detection(track: SightedTrack, number: int, width: int) -> Detection:
    place = int(np.flatnonzero(track.frames == number)[0])
    joints = track.seen.joints_px[place].copy()
    if track.side == "left":
        joints[:, 0] = width - joints[:, 0]
    box = np.concatenate((joints.min(axis=0), joints.max(axis=0)))
    return Detection(box, float(track.score[place]), track.side, joints, track.seen.weight[place])


def _look(found: Sequence[tuple[float, HandResult]], *, refined: bool) -> TrackLook:
    times_s, hands = np.array([time_s for time_s, _ in found]), [hand for _, hand in found]
    shape = np.median([one.parameters["shape"] for one in hands], axis=0) if refined else None
    return TrackLook(hands[0].mesh, times_s, _lights(hands), shape, hands[0].licences)


def _lights(found: Sequence[HandResult]) -> Light:
    def batch(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([one.light[name] for one in found])).float()

    sky = batch("sky") if all("sky" in one.light for one in found) else None
    return Light(batch("ambient"), batch("color"), batch("direction"), sky)
