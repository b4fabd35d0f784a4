"""Fit a track: its hand in every frame, in the camera frame of the clip."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands import HandModel
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.lifting.seen_definition import seen_definition
from hifihr_core.machine.device import one_thread
from hifihr_core.placed_hands import PlacedHands
from hifihr_core.records import Side
from hifihr_core.video.fitting.hand_sequence import HandSequence
from hifihr_core.video.fitting.joint_motion import MotionOfJoints
from hifihr_core.video.fitting.shape_fit import fit_shape
from hifihr_core.video.fitting.sighted_tracks import SightedTrack
from hifihr_core.video.fitting.smooth_fit import SmoothSettings, smooth_fit
from hifihr_core.video.fitting.track_start import lift_track, reshaped

_BATCH = 256


@dataclass(frozen=True)
class FittedTrack:
    """One hand in consecutive frames of a clip.

    `hand` is always a right hand: a left hand is stored as its mirror image (negate x of its points to get those in the
    clip). `joints_cam` (metres) and `joints_px` are not mirrored; `K` is the camera of the clip. `score` is that of the
    sightings, 0 in frames in which the hand was not seen, where the fit follows from the neighbouring frames. All
    frames have the same shape, so bones keep their lengths.
    """

    id: int
    side: Side
    frames: Int[np.ndarray, " T"]
    times_s: Float[np.ndarray, " T"]
    score: Float[np.ndarray, " T"]
    K: Float[np.ndarray, "3 3"]
    hand: HandSequence
    joints_cam: Float[np.ndarray, "T 21 3"]
    joints_px: Float[np.ndarray, "T 21 2"]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    @property
    def seen(self) -> Bool[np.ndarray, " T"]:
        """Whether the hand was seen, for every frame."""
        return np.asarray(self.score > 0)

    @property
    def axis(self) -> Float[np.ndarray, "3"]:
        """The factors of x, y, z (1 or -1) that turn points of `hand` into points in the clip."""
        return mirror_axis(self.side)


class TrackFitter:
    """Fits tracks with one hand model and its lifter."""

    def __init__(self, hand: HandModel, lifter: Lifter, settings: SmoothSettings | None = None) -> None:
        self.hand, self.lifter = hand, lifter
        self.settings = settings or SmoothSettings()
        self.motion = MotionOfJoints(hand, seen_definition(hand.joint_definition))

    def fit(
        self, track: SightedTrack, K: Float[np.ndarray, "3 3"], *, shape: Float[np.ndarray, " S"] | None = None
    ) -> FittedTrack:
        """Return the smooth motion of a track's hand in a clip with camera K; if `shape` is None, it is fitted first.

        The fit starts from the hands lifted with the hand network's evidence if the track has them, else from hands
        lifted from its joints alone.
        """
        seen = track.seen
        with one_thread():
            start = seen.lifted if seen.lifted is not None else lift_track(self.hand, self.lifter, seen)[0]
            if shape is None:
                shape = fit_shape(self.motion, seen, start, self.settings.frame)
            start = reshaped(self.hand, start, shape)
            held = seen if seen.lifted is None else replace(seen, lifted=start)
            return placed_in_clip(self.hand, track, smooth_fit(self.motion, held, start, self.settings), K)


def placed_in_clip(
    hand: HandModel, track: SightedTrack, sequence: HandSequence, K: Float[np.ndarray, "3 3"]
) -> FittedTrack:
    """Return the track with the fitted `sequence`, and its joints in the clip's camera frame and in pixels of K."""
    axis = mirror_axis(track.side)
    parts = []
    for first in range(0, len(sequence), _BATCH):
        placed = sequence.part(slice(first, first + _BATCH)).placed()
        with torch.no_grad():
            parts.append((hand.joints_of(placed.parameters) + placed.root_cam[:, None]).double().numpy() * axis)
    joints_cam = np.concatenate(parts)
    rays = joints_cam @ K.T
    return FittedTrack(
        id=track.id,
        side=track.side,
        frames=track.frames,
        times_s=track.seen.times_s,
        score=track.score,
        K=K,
        hand=sequence,
        joints_cam=joints_cam,
        joints_px=rays[..., :2] / rays[..., 2:],
    )


def vertices_cam(hand: HandModel, track: FittedTrack, which: "slice | np.ndarray") -> Float[np.ndarray, "M V 3"]:
    """Return the vertices in the rows `which` of a track, in the camera frame of the clip, metres."""
    placed: PlacedHands = track.hand.part(which).placed()
    with torch.no_grad():
        posed = hand(placed.parameters.untextured).vertices + placed.root_cam[:, None]
    return posed.double().numpy() * track.axis
