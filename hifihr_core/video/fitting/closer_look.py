"""The second pass over a clip: the hand network looks at every sighting, and its evidence is used to lift the hand."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.geometry.crops import flip_horizontal
from hifihr_core.hands import HandModel
from hifihr_core.lifting.evidence import Evidence
from hifihr_core.lifting.second_sight import SecondSight, doubted_sigma
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.placed_hands import PlacedHands, map_tensors
from hifihr_core.video.fitting.sighted_tracks import SightedTrack
from hifihr_core.video.fitting.track_start import sequence_of
from hifihr_core.video.reading.frames import Frame, FrameSource, Span
from hifihr_core.video.tracking.journal import SeenFrame

#: Number of sightings in a track that are lifted at once, which limits the evidence held in memory.
_BATCH = 64
#: Expected error of the hand network's own joints along an axis, in hand sizes.
_NETWORK_SIGMA = 0.08


@dataclass(frozen=True)
class CloserHands:
    """The sightings of a track that the hand network has looked at, each lifted separately as a right hand.

    `rows` are their indices in the track, and `parts` are the lifted hands in the same order, in batches. `sigma_px` is
    the expected error of the eyes' joints, larger where the hand network disagrees. `second_px` are the hand network's
    joints in the eyes' joint definition.
    """

    rows: Int[np.ndarray, " M"]
    parts: tuple[PlacedHands, ...]
    sigma_px: Float[np.ndarray, "M 21"]
    second_px: Float[np.ndarray, "M 21 2"]


def closer_hands(
    sight: SecondSight,
    hand: HandModel,
    source: FrameSource,
    span: Span,
    frames: Sequence[SeenFrame],
    tracks: Sequence[SightedTrack],
    *,
    on_frame: Callable[[int], None] = lambda number: None,
) -> dict[int, CloserHands]:
    """Read the clip again and lift the sightings of every track; return them by the identity of the track.

    Tracks of which no frame could be read again are left out.
    """
    seen = {frame.number: frame for frame in frames}
    gathered = {track.id: _Gathered(sight, hand, track) for track in tracks}
    first_row = {track.id: {int(number): row for row, number in enumerate(track.frames)} for track in tracks}
    for picture in source.frames(span) if tracks else ():
        known = seen.get(picture.number)
        own = [track for track in tracks if known is not None and track.id in known.hands]
        if known is not None and own:
            rows = [first_row[track.id][picture.number] for track in own]
            hands = [known.hands[track.id] for track in own]
            for track, row, evidence in zip(own, rows, _look(sight, picture, own, hands), strict=True):
                gathered[track.id].add(row, evidence)
        on_frame(picture.number)
    return {id: own.finished() for id, own in gathered.items() if own.rows}


def with_lift(hand: HandModel, track: SightedTrack, closer: CloserHands | None) -> SightedTrack:
    """Return the track with its lifted hands, and with the joints of both networks averaged, weighted by precision.

    If the networks agree, the eyes' joints hardly change; if the eyes misread a hand, its joints move to those of the
    hand network. Sightings in frames that could not be read a second time get the weight 0. If `closer` is None, the
    track is returned unchanged.
    """
    if closer is None:
        return track
    rows, seen = closer.rows, track.seen
    joints_px, sigma_px, weight = seen.joints_px.copy(), seen.sigma_px.copy(), np.zeros_like(seen.weight)
    size_px = np.ptp(joints_px[rows], axis=1).max(axis=1)[:, None]
    eyes, network = np.maximum(closer.sigma_px, 1e-6) ** -2.0, (_NETWORK_SIGMA * np.maximum(size_px, 1.0)) ** -2.0
    share = (network / (eyes + network))[..., None]
    joints_px[rows] += share * (closer.second_px - joints_px[rows])
    sigma_px[rows], weight[rows] = (eyes + network) ** -0.5, seen.weight[rows]
    lifted, _ = sequence_of(hand, closer.parts, seen.times_s, rows)
    better = replace(seen, joints_px=joints_px, sigma_px=sigma_px, weight=weight, lifted=lifted)
    return replace(track, seen=better)


def _look(
    sight: SecondSight, picture: Frame, tracks: Sequence[SightedTrack], hands: Sequence[SeenHand]
) -> list[Evidence]:
    """Return the evidence for each of the hands in a picture.

    It is in pixels of the picture; for a left hand, in pixels of the mirrored picture.
    """
    left = np.array([track.side == "left" for track in tracks])
    flips = np.where(left[:, None, None], flip_horizontal(picture.image.shape[1]), np.eye(3))
    evidence = sight.evidence(Pyramid(picture.image), hands, left, flips)
    return [map_tensors(lambda values, row=row: values[row : row + 1], evidence) for row in range(len(hands))]


class _Gathered:
    """Collects the evidence of one track's sightings, and lifts them in batches."""

    def __init__(self, sight: SecondSight, hand: HandModel, track: SightedTrack) -> None:
        self._sight, self._hand, self._track = sight, hand, track
        self._waiting: list[Evidence] = []
        self._parts: list[PlacedHands] = []
        self._sigma_px: list[Tensor] = []
        self._second_px: list[Tensor] = []
        self.rows: list[int] = []

    def add(self, row: int, evidence: Evidence) -> None:
        self.rows.append(row)
        self._waiting.append(evidence)
        if len(self._waiting) == _BATCH or row == len(self._track.frames) - 1:
            self._lift()

    def finished(self) -> CloserHands:
        if self._waiting:
            self._lift()
        sigma_px, second_px = (torch.cat(own).double().numpy() for own in (self._sigma_px, self._second_px))
        return CloserHands(np.array(self.rows), tuple(self._parts), sigma_px, second_px)

    @torch.no_grad()
    def _lift(self) -> None:
        seen, rows = self._track.seen, self.rows[-len(self._waiting) :]
        columns = defaultdict(list)
        for one in self._waiting:
            for name, values in vars(one).items():
                columns[name].append(values)
        evidence = Evidence(**{name: torch.cat(values) for name, values in columns.items()})
        points, sigma_px = (torch.from_numpy(values[rows]).float() for values in (seen.joints_px, seen.sigma_px))
        K = torch.from_numpy(seen.K).float().expand(len(rows), 3, 3)
        device = self._sight.device
        placed = self._sight.lift_seen(
            points.to(device), torch.ones(points.shape[:2], device=device), K.to(device), evidence.to(device)
        )
        self._parts.append(map_tensors(Tensor.cpu, placed))
        second_px = as_seen(evidence.second_px, self._hand.joint_definition)
        self._sigma_px.append(doubted_sigma(points, sigma_px, second_px))
        self._second_px.append(second_px)
        self._waiting = []
