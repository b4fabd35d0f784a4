"""Global identities: tracks are cut where they may have been confused, and the pieces are joined again.

The tracker decides frame by frame. In hindsight, all sightings of a piece vote on its side, and its motion is known at
both ends. The most likely joins are the assignment of least total cost in which each piece has at most one successor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.video.tracking.journal import SeenFrame
from hifihr_core.video.tracking.matching import NEVER, assigned, distance
from hifihr_core.video.tracking.palm_motion import hand_size_px, moved_on, palm_px, palm_velocity
from hifihr_core.video.tracking.tracks import side_odds

#: Pieces with a longer gap between them are separate appearances.
_LONGEST_GAP_S = 1.0
#: Two hands closer than this, in sizes of the larger one, may be confused; so may a hand that jumps this far.
_NEAR, _JUMP = 0.9, 0.35
#: Standard deviation of a hand from its extrapolated position, in hand sizes, and its growth per second of gap.
_APART, _APART_PER_S = 0.25, 1.0
#: Errors about the side are correlated: a piece counts as at most this many independent sightings, and its log-odds are
#: limited to this.
_WITNESSES, _MOST_ODDS = 4.0, 2.5
_MOST_MOVED = 6.0
#: The cost of a piece without a successor, the cost of a successor from another track, and the number of sightings from
#: which the motion at an end is computed.
_ENDS, _ANOTHER, _MOTION_FRAMES = 25.0, 0.5, 4


@dataclass(frozen=True)
class Piece:
    """A track or a piece of one: sightings of one hand, with the indices (`places`) and times of their frames."""

    id: int
    places: tuple[int, ...]
    times_s: tuple[float, ...]
    hands: tuple[SeenHand, ...]

    def odds(self) -> float:
        """Return the bounded log-odds that its sightings show a right hand."""
        mean = float(np.mean([side_odds(one) for one in self.hands]))
        return float(np.clip(mean * min(len(self.hands), _WITNESSES), -_MOST_ODDS, _MOST_ODDS))

    def expected_px(self, time_s: float) -> Float[np.ndarray, "21 2"]:
        """Return the joints extrapolated to a time after the end or before the beginning of the piece."""
        inner = slice(-_MOTION_FRAMES, None) if time_s > self.times_s[-1] else slice(_MOTION_FRAMES - 1, None, -1)
        times, hands = self.times_s[inner], self.hands[inner]
        if len(hands) < 2:
            return hands[-1].joints_px
        elapsed_s = abs(times[-1] - times[0])
        velocity = palm_velocity(hands[0].joints_px, hands[-1].joints_px, elapsed_s)
        return moved_on(hands[-1].joints_px, velocity, abs(time_s - times[-1]))


def stitched(frames: Sequence[SeenFrame]) -> list[SeenFrame]:
    """Return the frames with the most likely identities over the whole clip.

    Pieces that are joined get the identity of the first of them.
    """
    pieces = [part for piece in _tracks(frames) for part in _cut(piece, frames)]
    if not pieces:
        return list(frames)
    follows = assigned(join_costs(pieces))
    follows = {one: other for one, other in follows.items() if other < len(pieces)}
    name: dict[int, int] = {}
    taken: set[int] = set()
    for number in sorted(range(len(pieces)), key=lambda one: pieces[one].places[0]):
        if number not in name:
            own = pieces[number].id
            name[number] = own if own not in taken else max(taken | {piece.id for piece in pieces}) + 1
        taken.add(name[number])
        if number in follows:
            name[follows[number]] = name[number]
    hands: list[dict[int, SeenHand]] = [{} for _ in frames]
    for number, piece in enumerate(pieces):
        for place, hand in zip(piece.places, piece.hands, strict=True):
            hands[place][name[number]] = hand
    return [replace(frame, hands=dict(sorted(own.items()))) for frame, own in zip(frames, hands, strict=True)]


def join_costs(pieces: Sequence[Piece]) -> Float[np.ndarray, "N M"]:
    """Return the costs of continuing piece i with piece j, in ``[i, j]``, or with none, in ``[i, N + i]``; M is 2 N."""
    count = len(pieces)
    costs = np.full((count, 2 * count), NEVER)
    costs[np.arange(count), count + np.arange(count)] = _ENDS
    for i, one in enumerate(pieces):
        for j, other in enumerate(pieces):
            costs[i, j] = join_cost(one, other)
    return costs


def join_cost(one: Piece, other: Piece) -> float:
    """Return the cost of `other` continuing `one` as the same hand: a negative log-likelihood, or `NEVER`."""
    gap_s = other.times_s[0] - one.times_s[-1]
    if other.places[0] <= one.places[-1] or gap_s > _LONGEST_GAP_S:
        return NEVER
    onward = distance(one.expected_px(other.times_s[0]), other.hands[0].joints_px, gap_s)
    back = distance(other.expected_px(one.times_s[-1]), one.hands[-1].joints_px, gap_s)
    apart = min(onward, back) + 0.5 * min(abs(onward - back), 1.0)
    same = one.id == other.id
    if apart >= NEVER and not same:
        return NEVER
    first, second = _sigmoid(one.odds()), _sigmoid(other.odds())
    one_side = first * second + (1 - first) * (1 - second)
    moved = min(0.5 * (apart / (_APART + _APART_PER_S * gap_s)) ** 2, _MOST_MOVED if same else NEVER)
    return moved + (0.0 if same else _ANOTHER) - float(np.log(one_side))


def _tracks(frames: Sequence[SeenFrame]) -> list[Piece]:
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(frames):
        for id in frame.hands:
            places.setdefault(id, []).append(place)
    return [_piece(id, own, frames) for id, own in sorted(places.items())]


def _piece(id: int, places: Sequence[int], frames: Sequence[SeenFrame]) -> Piece:
    return Piece(
        id,
        tuple(places),
        tuple(frames[place].time_s for place in places),
        tuple(frames[place].hands[id] for place in places),
    )


def _cut(piece: Piece, frames: Sequence[SeenFrame]) -> list[Piece]:
    """Split a track at the moments at which it may have switched to another hand.

    These are gaps, jumps, the arrival and departure of another hand nearby and, while it is near, the strongest change
    of side.
    """
    near = [_near(piece, number, frames) for number in range(len(piece.places))]
    cuts = [number for number in range(1, len(near)) if near[number] != near[number - 1] or _jumps(piece, number)]
    ends = [0, *cuts, len(near)]
    cuts += [_side_changes(piece, first, last) for first, last in pairwise(ends) if near[first] and last - first > 1]
    ends = [0, *sorted(cuts), len(near)]
    return [_piece(piece.id, piece.places[first:last], frames) for first, last in pairwise(ends)]


def _jumps(piece: Piece, number: int) -> bool:
    """Return whether the hand was missing in the frame before, or has jumped since."""
    before, now = (palm_px(piece.hands[k].joints_px) for k in (number - 1, number))
    apart = float(np.linalg.norm(now - before))
    gap = piece.places[number] - piece.places[number - 1] > 1
    return gap or apart > _JUMP * hand_size_px(piece.hands[number].joints_px)


def _side_changes(piece: Piece, first: int, last: int) -> int:
    """Return the index in the piece at which the sides of earlier and later sightings differ most."""
    odds = np.array([side_odds(one) for one in piece.hands[first:last]])
    before, count = np.cumsum(odds)[:-1], np.arange(1, len(odds))
    apart = before / count - (odds.sum() - before) / (len(odds) - count)
    # The fall of the sum of squares if two means explain the part (a change point).
    return first + 1 + int(np.argmax(apart**2 * count * (len(odds) - count)))


def _near(piece: Piece, number: int, frames: Sequence[SeenFrame]) -> bool:
    """Return whether another hand is so close to sighting `number` that the two may be confused."""
    own = piece.hands[number].joints_px
    others = [hand.joints_px for id, hand in frames[piece.places[number]].hands.items() if id != piece.id]
    return any(
        np.linalg.norm(palm_px(own) - palm_px(other)) < _NEAR * max(hand_size_px(own), hand_size_px(other))
        for other in others
    )


def _sigmoid(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))
