"""What a tracker needs from the eyes, and the eyes as a tracker uses them: one quick look per hand and frame."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from hifihr_core.eyes.engine import Engine, landmark_engine, palm_engine
from hifihr_core.eyes.looks import LOOKS, look_closely
from hifihr_core.eyes.palms import find_palms
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import upright
from hifihr_core.eyes.same_hand import each_once
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.eyes.sightings import Sightings, look_again, look_at

#: A palm is looked at from this score on, a hand kept from that presence on.
_PALM_SCORE, _PRESENT = 0.12, 0.6
_MAX_PALMS = 6


@runtime_checkable
class Watcher(Protocol):
    """Finds hands in a picture, and again where they are expected."""

    def find(self, image: UInt8[np.ndarray, "H W 3"]) -> Sequence[SeenHand]:
        """Return the hands of a picture without knowing where they are."""

    def follow(self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "N 21 2"]) -> Sequence[SeenHand]:
        """Return what is seen at each place where the joints of a hand are expected; the score may be low."""


class QuickEyes:
    """The shipped eyes with `num_looks` looks at each hand; `threads` CPU threads, 0 for one per core."""

    def __init__(self, palms: Engine, landmarks: Engine, *, num_looks: int = 1) -> None:
        self._palms, self._landmarks, self._looks = palms, landmarks, LOOKS[:num_looks]

    @classmethod
    def load(cls, *, num_looks: int = 1, threads: int = 0) -> "QuickEyes":
        """Return the shipped eyes. Raises: AssetError if their weights are missing from the installation."""
        return cls(palm_engine(threads=threads), landmark_engine(threads=threads), num_looks=num_looks)

    def find(self, image: UInt8[np.ndarray, "H W 3"]) -> list[SeenHand]:
        """Return the hands that the palm detector finds in one view of the picture, each once."""
        pyramid = Pyramid(image)
        whole = upright(np.array([pyramid.width, pyramid.height]) / 2, float(max(pyramid.width, pyramid.height)))
        palms = find_palms(self._palms, pyramid, whole, min_score=_PALM_SCORE)
        regions = palms.regions[np.argsort(-palms.score, kind="stable")[:_MAX_PALMS]]
        seen = look_again(self._landmarks, pyramid, look_at(self._landmarks, pyramid, regions), rounds=1)
        seen = seen[seen.presence >= _PRESENT]
        seen = seen[each_once(seen.joints_px, seen.presence)]
        return look_closely(self._landmarks, pyramid, seen, self._looks) if len(seen) else []

    def follow(self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "N 21 2"]) -> list[SeenHand]:
        """Return what is seen in the region about each hand's expected joints."""
        count = len(expected_px)
        if not count:
            return []
        unknown = Sightings(
            expected_px, np.zeros((count, 21)), np.zeros((count, 21, 3)), np.ones(count), np.full(count, 0.5)
        )
        return look_closely(self._landmarks, Pyramid(image), unknown, self._looks)
