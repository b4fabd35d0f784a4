"""From the frames of a journal to tracks: one hand each, with a side that stays, in consecutive frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hifihr_core.records import Side
from hifihr_core.video.hand_sequence import SeenSequence
from hifihr_core.video.journal import SeenFrame
from hifihr_core.video.tracks import side_odds

#: A hand that was seen in fewer frames of a longer clip is a mistake of the eyes.
_LEAST_FRAMES = 3


@dataclass(frozen=True)
class SightedTrack:
    """A hand in consecutive frames of a clip, from its first sighting to its last; `score` is 0 where it was lost.

    `seen` is that of the right-looking hand: for a left hand the pictures are mirrored, ``u' = width - u``, and so is
    its K.
    """

    id: int
    side: Side
    frames: Int[np.ndarray, " T"]
    score: Float[np.ndarray, " T"]
    seen: SeenSequence


def sighted_tracks(
    frames: Sequence[SeenFrame], K: Float[np.ndarray, "3 3"], width: int, *, side: Side | None = None
) -> list[SightedTrack]:
    """Return the tracks of a clip in the order of their identities; `side` overrules what the eyes say."""
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(frames):
        for id in frame.hands:
            places.setdefault(id, []).append(place)
    least = min(_LEAST_FRAMES, len(frames))
    return [_track(id, at, frames, K, width, side) for id, at in sorted(places.items()) if len(at) >= least]


def _track(
    id: int, at: list[int], frames: Sequence[SeenFrame], K: np.ndarray, width: int, side: Side | None
) -> SightedTrack:
    part = frames[at[0] : at[-1] + 1]
    odds = sum(side_odds(frames[place].hands[id]) for place in at)
    decided: Side = side or ("right" if odds > 0 else "left")
    joints, sigma, weight = np.zeros((len(part), 21, 2)), np.ones((len(part), 21)), np.zeros((len(part), 21))
    score = np.zeros(len(part))
    for row, frame in enumerate(part):
        hand = frame.hands.get(id)
        if hand is not None:
            joints[row], sigma[row], score[row] = hand.joints_px, hand.sigma_px, hand.score
            weight[row] = min(max(hand.score, 0.05), 1.0)
    times_s = np.array([frame.time_s for frame in part])
    if decided == "left":
        joints[..., 0] = width - joints[..., 0]
        K = mirrored_K(K, width)
    numbers = np.array([frame.number for frame in part])
    return SightedTrack(id, decided, numbers, score, SeenSequence(times_s, joints, sigma, weight, K))


def mirrored_K(K: Float[np.ndarray, "3 3"], width: int) -> Float[np.ndarray, "3 3"]:
    """Return the camera of the mirrored picture, in which a mirrored hand looks as it does: its own inverse."""
    flip = np.array([[-1.0, 0.0, float(width)], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return flip @ K @ np.diag([-1.0, 1.0, 1.0])
