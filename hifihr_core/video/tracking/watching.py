"""The interface between the tracker and the eyes, and an implementation that is quick enough for every frame."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from hifihr_core.eyes.engine import Engine, landmark_engine, palm_engine
from hifihr_core.eyes.looks import LOOKS, look_closely
from hifihr_core.eyes.palms import find_palms
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, about_joints, joined, upright
from hifihr_core.eyes.same_hand import each_once
from hifihr_core.eyes.search import SearchPlan, once, search
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.eyes.sightings import Sightings, look_again, look_at

#: Minimum palm score for a first look, minimum presence for a second one, and minimum presence to keep a hand.
_PALM_SCORE, _PROMISING, _PRESENT = 0.08, 0.1, 0.6
_MAX_PALMS = 5
#: Settings of a close search.
_CLOSELY = SearchPlan((1.0, 0.6), palm_score=0.08, rounds=1, num_looks=1, max_candidates=24)
#: For a lost hand: the view's side relative to its region, the minimum palm score there, and alternative regions (shift
#: right and down in sides; scale; rotation).
_NEAR_VIEW, _NEAR_PALM_SCORE = 1.6, 0.06
_NEAR_MOVES = np.array(
    [
        (0.2, 0.1, 1.1, 0.3),
        (-0.2, 0.1, 1.1, -0.3),
        (0.0, -0.2, 1.1, 0.0),
    ]
)


@runtime_checkable
class Watcher(Protocol):
    """Finds hands in a picture, and finds known hands again where they are expected."""

    def find(self, image: UInt8[np.ndarray, "H W 3"], *, closely: bool = False) -> Sequence[SeenHand]:
        """Return the hands anywhere in a picture; `closely` takes longer and finds more."""

    def follow(self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "N 21 2"]) -> Sequence[SeenHand]:
        """Return one sighting at each set of expected joints, with a low score if no hand is there."""

    def search_near(
        self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "21 2"]
    ) -> Sequence[SeenHand]:
        """Return the hands near the expected joints of a lost hand."""


class QuickEyes:
    """The shipped eyes as a `Watcher`; their landmark network looks at each hand `num_looks` times."""

    def __init__(self, palms: Engine, landmarks: Engine, *, num_looks: int = 1) -> None:
        self._palms, self._landmarks, self._looks = palms, landmarks, LOOKS[:num_looks]

    @classmethod
    def load(cls, *, num_looks: int = 1, threads: int = 0) -> "QuickEyes":
        """Return the shipped eyes, which use `threads` CPU threads (0: one per core).

        Raises: AssetError if their weights are missing from the installation.
        """
        return cls(palm_engine(threads=threads), landmark_engine(threads=threads), num_looks=num_looks)

    def find(self, image: UInt8[np.ndarray, "H W 3"], *, closely: bool = False) -> list[SeenHand]:
        """Return the hands that the palm detector finds in the picture or, `closely`, in several views of it."""
        pyramid = Pyramid(image)
        if closely:
            seen = once(search(self._palms, self._landmarks, pyramid, _CLOSELY))
            return look_closely(self._landmarks, pyramid, seen, self._looks) if len(seen) else []
        whole = upright(np.array([pyramid.width, pyramid.height]) / 2, float(max(pyramid.width, pyramid.height)))
        return self._looked_at(pyramid, self._palm_regions(pyramid, whole, _PALM_SCORE))

    def search_near(self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "21 2"]) -> list[SeenHand]:
        """Return the hands near the expected joints of a lost hand.

        The palm detector searches a view around them; the landmark network also looks at shifted and rotated regions.
        """
        pyramid, there = Pyramid(image), about_joints(expected_px[None])
        view = upright(there.center_px[0], _NEAR_VIEW * float(there.side_px[0]))
        palms = self._palm_regions(pyramid, view, _NEAR_PALM_SCORE)
        moves = there.repeated(len(_NEAR_MOVES)).moved(_NEAR_MOVES[:, :2], _NEAR_MOVES[:, 2], _NEAR_MOVES[:, 3])
        return self._looked_at(pyramid, joined([palms, moves]))

    def _palm_regions(self, pyramid: Pyramid, view: Regions, least: float) -> Regions:
        palms = find_palms(self._palms, pyramid, view, min_score=least)
        return palms.regions[np.argsort(-palms.score, kind="stable")[:_MAX_PALMS]]

    def _looked_at(self, pyramid: Pyramid, regions: Regions) -> list[SeenHand]:
        """Return the hands in some regions, without duplicates, after a second look around the joints found."""
        seen = look_at(self._landmarks, pyramid, regions)
        seen = look_again(self._landmarks, pyramid, seen[seen.presence > _PROMISING], rounds=1)
        seen = seen[seen.presence >= _PRESENT]
        seen = seen[each_once(seen.joints_px, seen.presence)]
        return look_closely(self._landmarks, pyramid, seen, self._looks) if len(seen) else []

    def follow(self, image: UInt8[np.ndarray, "H W 3"], expected_px: Float[np.ndarray, "N 21 2"]) -> list[SeenHand]:
        """Return the sighting in the region around each hand's expected joints."""
        count = len(expected_px)
        if not count:
            return []
        unknown = Sightings(
            expected_px, np.zeros((count, 21)), np.zeros((count, 21, 3)), np.ones(count), np.full(count, 0.5)
        )
        return look_closely(self._landmarks, Pyramid(image), unknown, self._looks)
