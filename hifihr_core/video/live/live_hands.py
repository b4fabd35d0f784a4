"""Track hands live: each is fitted to the newest picture and the two before it, without waiting for later ones."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8

from hifihr_core.geometry.projection import project_points
from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands import HandModel
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.lifting.seen_definition import seen_definition
from hifihr_core.machine.device import one_thread
from hifihr_core.records import Side
from hifihr_core.video.fitting.hand_sequence import HandSequence, SeenSequence
from hifihr_core.video.fitting.joint_motion import MotionOfJoints
from hifihr_core.video.fitting.sighted_tracks import mirrored_K
from hifihr_core.video.fitting.smooth_fit import SmoothSettings, fit_window
from hifihr_core.video.fitting.track_start import lift_track, reshaped
from hifihr_core.video.live.one_euro import EuroSettings, OneEuro, OneEuroTurn
from hifihr_core.video.tracking.tracker import Tracked, Tracker

#: Number of sightings after which a hand's shape is fixed.
_SETTLED = 20
#: If joints are this far from their sightings, in hand sizes, the fit has failed.
_LOST = 0.12


@dataclass(frozen=True)
class LiveHand:
    """One hand in one picture: joints and vertices in the camera frame, metres, and joints in pixels.

    `parameters` are those of a right (or mirrored left) hand, as in the files of a track.
    """

    id: int
    side: Side
    score: float
    joints_px: Float[np.ndarray, "21 2"]
    joints_cam: Float[np.ndarray, "21 3"]
    vertices_cam: Float[np.ndarray, "V 3"]
    parameters: dict[str, np.ndarray]


@dataclass
class _Past:
    """The state of a hand: its last two frames, the shapes estimated so far, and its filters (rotation, root, pose)."""

    sequence: HandSequence
    seen: SeenSequence
    shapes: list[np.ndarray]
    side: Side
    filters: tuple[OneEuroTurn, OneEuro, OneEuro] = field(
        default_factory=lambda: (
            OneEuroTurn(EuroSettings(2.0, 1.0)),
            OneEuro(EuroSettings(2.0, 20.0)),
            OneEuro(EuroSettings(2.0, 0.6)),
        )
    )


class LiveHands:
    """Tracks, fits and filters the hands seen by a camera K with pictures `width` pixels wide."""

    def __init__(
        self, hand: HandModel, lifter: Lifter, tracker: Tracker, K: Float[np.ndarray, "3 3"], width: int
    ) -> None:
        self.hand, self.K = hand, K
        self._lifter, self._tracker, self._width = lifter, tracker, width
        self._motion = MotionOfJoints(hand, seen_definition(hand.joint_definition))
        self._first, self._next = SmoothSettings(steps=4), SmoothSettings(steps=2)
        self._past: dict[int, _Past] = {}

    def step(self, image: UInt8[np.ndarray, "H W 3"], time_s: float) -> list[LiveHand]:
        """Return the hands of the next picture, `time_s` seconds after the first."""
        with one_thread():
            found = [self._advance(one, time_s) for one in self._tracker.step(image, time_s)]
        alive = {track.id for track in self._tracker.state.tracks}
        self._past = {id: past for id, past in self._past.items() if id in alive}
        return found

    def _advance(self, tracked: Tracked, time_s: float) -> LiveHand:
        seen = self._seen(tracked, time_s)
        past = self._past.get(tracked.id)
        if past is None or past.side != tracked.side:
            past = self._begin(seen, tracked.side)
        else:
            self._go_on(past, seen)
        self._past[tracked.id] = past
        return self._shown(tracked, past, time_s)

    def _seen(self, tracked: Tracked, time_s: float) -> SeenSequence:
        joints, K = tracked.seen.joints_px.copy(), self.K
        if tracked.side == "left":
            joints[:, 0], K = self._width - joints[:, 0], mirrored_K(K, self._width)
        weight = np.full((1, 21), min(max(tracked.seen.score, 0.05), 1.0))
        return SeenSequence(np.array([time_s]), joints[None], tracked.seen.sigma_px[None], weight, K)

    def _begin(self, seen: SeenSequence, side: Side) -> _Past:
        start, shapes = lift_track(self.hand, self._lifter, seen)
        fitted = fit_window(self._motion, seen, start, settings=self._first)
        return _Past(fitted, seen, [shapes[0]], side)

    def _go_on(self, past: _Past, seen: SeenSequence) -> None:
        if len(past.shapes) < _SETTLED:
            _, shapes = lift_track(self.hand, self._lifter, seen)
            past.shapes.append(shapes[0])
            past.sequence = reshaped(self.hand, past.sequence, np.median(past.shapes, axis=0))
        held = len(past.sequence)
        window = _joined(past.seen, seen)
        start = past.sequence.followed_by(past.sequence.part(slice(held - 1, held)))
        fitted = fit_window(self._motion, window, start, held=held, settings=self._next)
        if self._is_lost(fitted.part(slice(held, held + 1)), seen):
            again = self._begin(seen, past.side)
            fitted = reshaped(self.hand, again.sequence, past.sequence.shape)
            window = seen
        past.sequence, past.seen = fitted.part(slice(-2, None)), window.part(slice(-2, None))

    def _is_lost(self, one: HandSequence, seen: SeenSequence) -> bool:
        placed = one.placed()
        with torch.no_grad():
            joints = (self._motion.joints(placed.parameters) + placed.root_cam[:, None])[0].double().numpy()
        apart = np.linalg.norm(project_points(joints, seen.K) - seen.joints_px[0], axis=1).mean()
        return bool(apart > _LOST * max(float(np.ptp(seen.joints_px[0], axis=0).max()), 1.0))

    def _shown(self, tracked: Tracked, past: _Past, time_s: float) -> LiveHand:
        last = past.sequence.part(slice(-1, None))
        smooth_turn, smooth_root, smooth_pose = past.filters
        turn, root = smooth_turn(last.turn[0], time_s), smooth_root(last.root_cam[0], time_s)
        pose = smooth_pose(last.pose[0], time_s)
        placed = HandSequence(last.shape, turn[None], root[None], pose[None]).placed()
        with torch.no_grad():
            posed = self.hand(placed.parameters.untextured)
        axis = mirror_axis(tracked.side)
        joints = (posed.joints[0].double().numpy() + root) * axis
        return LiveHand(
            id=tracked.id,
            side=tracked.side,
            score=tracked.seen.score,
            joints_px=project_points(joints, self.K),
            joints_cam=joints,
            vertices_cam=(posed.vertices[0].double().numpy() + root) * axis,
            parameters={"global_orient": turn, "pose": pose, "shape": last.shape, "root_cam": root},
        )


def _joined(one: SeenSequence, other: SeenSequence) -> SeenSequence:
    return SeenSequence(
        np.concatenate((one.times_s, other.times_s)),
        np.concatenate((one.joints_px, other.joints_px)),
        np.concatenate((one.sigma_px, other.sigma_px)),
        np.concatenate((one.weight, other.weight)),
        other.K,
    )
