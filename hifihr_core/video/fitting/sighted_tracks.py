"""Turn the frames of a journal into tracks: each is one hand with a fixed side in consecutive frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hifihr_core.records import Side
from hifihr_core.video.fitting.hand_sequence import SeenSequence
from hifihr_core.video.tracking.journal import SeenFrame
from hifihr_core.video.tracking.tracks import side_odds

#: In a longer clip, a hand seen in fewer frames than this is a false detection.
_LEAST_FRAMES = 3
#: Mean log-odds per sighting below which a side is doubtful: next to a certain hand, this is then the opposite one.
_DOUBTFUL = 1.0


@dataclass(frozen=True)
class SightedTrack:
    """A hand in consecutive frames of a clip, from its first sighting to its last; `score` is 0 where it was not seen.

    `seen` is always a right hand: for a left hand, its pixels (``u' = width - u``) and K are mirrored.
    """

    id: int
    side: Side
    frames: Int[np.ndarray, " T"]
    score: Float[np.ndarray, " T"]
    seen: SeenSequence


def sighted_tracks(
    frames: Sequence[SeenFrame], K: Float[np.ndarray, "3 3"], width: int, *, side: Side | None = None
) -> list[SightedTrack]:
    """Return the tracks of a clip, sorted by identity.

    Hands seen in fewer than 3 frames are left out as false detections, unless the clip is shorter than that. Sides are
    judged from the sightings if `side` is None. `width` is that of the frames, pixels.
    """
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(frames):
        for id in frame.hands:
            places.setdefault(id, []).append(place)
    least = min(_LEAST_FRAMES, len(frames))
    kept = {id: at for id, at in sorted(places.items()) if len(at) >= least}
    sides = dict.fromkeys(kept, side) if side is not None else _sides(kept, frames)
    return [_track(id, at, frames, K, width, sides[id]) for id, at in kept.items()]


def _sides(places: Mapping[int, list[int]], frames: Sequence[SeenFrame]) -> dict[int, Side]:
    """Return each track's side, judged from its sightings.

    People have one hand per side: a doubtful track that mostly coincides with a more certain one of the same side gets
    the opposite side.
    """
    odds = {id: float(np.mean([side_odds(frames[at].hands[id]) for at in own])) for id, own in places.items()}
    sides: dict[int, Side] = {}
    for id in sorted(odds, key=lambda one: -abs(odds[one])):
        own: Side = "right" if odds[id] > 0 else "left"
        beside = max((len(set(places[id]) & set(places[one])) for one in sides if sides[one] == own), default=0)
        doubtful = abs(odds[id]) < _DOUBTFUL and beside > len(places[id]) / 2
        sides[id] = ("left" if own == "right" else "right") if doubtful else own
    return sides


def _track(id: int, at: list[int], frames: Sequence[SeenFrame], K: np.ndarray, width: int, side: Side) -> SightedTrack:
    part = frames[at[0] : at[-1] + 1]
    joints, sigma, weight = np.zeros((len(part), 21, 2)), np.ones((len(part), 21)), np.zeros((len(part), 21))
    score = np.zeros(len(part))
    for row, frame in enumerate(part):
        hand = frame.hands.get(id)
        if hand is not None:
            joints[row], sigma[row], score[row] = hand.joints_px, hand.sigma_px, hand.score
            weight[row] = min(max(hand.score, 0.05), 1.0)
    times_s = np.array([frame.time_s for frame in part])
    if side == "left":
        joints[..., 0] = width - joints[..., 0]
        K = mirrored_K(K, width)
    numbers = np.array([frame.number for frame in part])
    return SightedTrack(id, side, numbers, score, SeenSequence(times_s, joints, sigma, weight, K))


def mirrored_K(K: Float[np.ndarray, "3 3"], width: int) -> Float[np.ndarray, "3 3"]:
    """Return the camera of the mirrored picture, which shows the mirrored hand; applied twice, it gives K again."""
    flip = np.array([[-1.0, 0.0, float(width)], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return flip @ K @ np.diag([-1.0, 1.0, 1.0])
