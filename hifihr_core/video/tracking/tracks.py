"""One hand over time, as the tracker stores it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.records import Side
from hifihr_core.video.tracking.palm_motion import PalmVelocity, hand_size_px, moved_on, palm_velocity

#: Maximum log-odds of the side per sighting, and in total.
_SIDE_STEP, _SIDE_MOST = 2.0, 30.0
#: A track's side is fixed once its log-odds are this far from zero.
_SIDE_LOCKED = 16.0
#: Weight of a new measurement in the running velocity, and in the usual size (per second).
_FOLLOWS, _GROWS_PER_S = 0.5, 2.0


@dataclass(frozen=True)
class Track:
    """A hand that is being tracked.

    `seen` is its last sighting, at `seen_s`; `velocity` is that of its palm (see `palm_velocity`). `right_odds` is the
    log-odds of a right hand, `usual_px` the hand's size averaged over about half a second. `hits` counts its sightings,
    `misses` the frames since the last one.
    """

    id: int
    seen: SeenHand
    seen_s: float
    velocity: PalmVelocity
    right_odds: float
    usual_px: float
    hits: int = 1
    misses: int = 0

    @property
    def side(self) -> Side:
        """The side that its sightings suggest so far."""
        return "right" if self.right_odds > 0 else "left"

    def expected_px(self, time_s: float) -> Float[np.ndarray, "21 2"]:
        """Return its joints extrapolated to `time_s` with its velocity, damped more the longer it has been lost."""
        return moved_on(self.seen.joints_px, self.velocity, time_s - self.seen_s)

    def missed(self) -> "Track":
        """Return the track after a frame in which it was not seen."""
        return replace(self, misses=self.misses + 1)

    def continued(self, seen: SeenHand, time_s: float) -> "Track":
        """Return the track with another sighting; once the side is certain, it no longer changes."""
        elapsed_s = time_s - self.seen_s
        measured = palm_velocity(self.seen.joints_px, seen.joints_px, elapsed_s)
        follows = _FOLLOWS if self.hits > 1 else 1.0
        odds = self.right_odds
        if abs(odds) < _SIDE_LOCKED:
            odds = float(np.clip(odds + side_odds(seen), -_SIDE_MOST, _SIDE_MOST))
        return replace(
            self,
            seen=seen,
            seen_s=time_s,
            velocity=self.velocity + follows * (measured - self.velocity),
            right_odds=odds,
            usual_px=self.usual_px
            + min(_GROWS_PER_S * elapsed_s, 1.0) * (hand_size_px(seen.joints_px) - self.usual_px),
            hits=self.hits + 1,
            misses=0,
        )


def new_track(id: int, seen: SeenHand, time_s: float) -> Track:
    """Return a track with a single sighting."""
    return Track(id, seen, time_s, np.zeros(4), side_odds(seen), hand_size_px(seen.joints_px))


def side_odds(seen: SeenHand) -> float:
    """Return the log-odds of a right hand from one sighting, bounded so that no single frame decides."""
    sure = float(np.clip(seen.side_confidence, 0.5, 0.999))
    return float(np.clip(np.log(sure / (1 - sure)), 0, _SIDE_STEP)) * (1 if seen.side == "right" else -1)
