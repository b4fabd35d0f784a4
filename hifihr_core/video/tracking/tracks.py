"""One hand through time as a tracker stores it, and how well a sighting continues it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.records import Side

#: Wrist and the bases of the fingers: the part of a hand that fingers do not move.
PALM = (0, 5, 9, 13, 17)
#: Log-odds of the side that one sighting may add, and in all.
_SIDE_STEP, _SIDE_MOST = 2.0, 30.0
#: A track's side is locked once its log-odds are this far from zero.
_SIDE_LOCKED = 16.0
#: How much of the measured velocity the running one takes on.
_FOLLOWS = 0.5
#: An expected place is at most this many hand sizes from the last one.
_FARTHEST = 1.5


@dataclass(frozen=True)
class Track:
    """A hand that is or was seen.

    `seen` is its last sighting, at `seen_s`; `velocity_px` is that of its palm, pixels per second. `right_odds` is the
    log of the odds that it is a right hand. `hits` counts its sightings, `misses` the frames since the last one.
    """

    id: int
    seen: SeenHand
    seen_s: float
    velocity_px: Float[np.ndarray, "2"]
    right_odds: float
    hits: int = 1
    misses: int = 0

    @property
    def side(self) -> Side:
        """The side that its sightings suggest."""
        return "right" if self.right_odds > 0 else "left"

    def expected_px(self, time_s: float) -> Float[np.ndarray, "21 2"]:
        """Return where its joints should be: moved on with its velocity, a little less the longer it is lost."""
        elapsed_s = time_s - self.seen_s
        shift = self.velocity_px * elapsed_s / (1 + 2 * elapsed_s)
        longest = _FARTHEST * self.seen.size_px
        length = float(np.linalg.norm(shift))
        return self.seen.joints_px + shift * min(1.0, longest / max(length, 1e-9))

    def missed(self) -> "Track":
        """Return the track after a frame in which it was not seen."""
        return replace(self, misses=self.misses + 1)

    def continued(self, seen: SeenHand, time_s: float) -> "Track":
        """Return the track with another sighting; a locked side stays."""
        elapsed_s = max(time_s - self.seen_s, 1e-3)
        measured = (palm_px(seen) - palm_px(self.seen)) / elapsed_s
        follows = _FOLLOWS if self.hits > 1 else 1.0
        odds = self.right_odds
        if abs(odds) < _SIDE_LOCKED:
            odds = float(np.clip(odds + side_odds(seen), -_SIDE_MOST, _SIDE_MOST))
        return replace(
            self,
            seen=seen,
            seen_s=time_s,
            velocity_px=self.velocity_px + follows * (measured - self.velocity_px),
            right_odds=odds,
            hits=self.hits + 1,
            misses=0,
        )


def new_track(id: int, seen: SeenHand, time_s: float) -> Track:
    """Return a track of one sighting."""
    return Track(id, seen, time_s, np.zeros(2), side_odds(seen))


def palm_px(seen: SeenHand) -> Float[np.ndarray, "2"]:
    """Return the middle of the palm."""
    return seen.joints_px[list(PALM)].mean(axis=0)


def side_odds(seen: SeenHand) -> float:
    """Return the log-odds of a right hand from one sighting, bounded: no single frame decides."""
    sure = float(np.clip(seen.side_confidence, 0.5, 0.999))
    return float(np.clip(np.log(sure / (1 - sure)), 0, _SIDE_STEP)) * (1 if seen.side == "right" else -1)
