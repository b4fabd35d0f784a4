"""`Eyes`: find the hands in a photo and the 21 joints of each."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from hifihr_core.eyes.engine import Engine, landmark_engine, palm_engine
from hifihr_core.eyes.in_box import look_in_boxes
from hifihr_core.eyes.looks import LOOKS, look_closely
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.same_hand import each_once
from hifihr_core.eyes.search import EFFORTS, SearchPlan, search
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.eyes.sightings import Sightings, look_at

#: Hands with a lower score are left out of `Eyes.find`.
MIN_SCORE = 0.5
#: Readings whose certainty (score times mean confidence) differs by less are tied; from the second value on, a hand may
#: lie inside another one's outline.
_AS_SURE, _CERTAIN = 0.1, 0.5


class Eyes:
    """A hand detector: two small networks, and a search that applies them to many regions of a photo.

    Build it once with `Eyes.load`; its methods take upright RGB photos, and all pixels are those of the photo. It runs
    on the CPU and is deterministic.
    """

    def __init__(self, palms: Engine, landmarks: Engine) -> None:
        self._palms, self._landmarks = palms, landmarks

    @classmethod
    def load(cls, *, threads: int = 0) -> "Eyes":
        """Return the shipped eyes; `threads` is the number of CPU threads, 0 for one per core.

        Raises: AssetError if the weights are missing from the installation.
        """
        return cls(palm_engine(threads=threads), landmark_engine(threads=threads))

    def find(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        effort: str = "auto",
        *,
        max_hands: int | None = None,
        min_score: float = MIN_SCORE,
    ) -> tuple[SeenHand, ...]:
        """Return the hands in a photo, most certain first; at most `max_hands`, none below `min_score`.

        `effort` is a key of `EFFORTS`. `fast` searches the whole photo, and parts of it only if it finds nothing.
        `auto` searches the whole photo and overlapping parts; if it finds nothing, it also searches rotated parts and
        places where no palm was detected. `thorough` always searches all of these. Raises: ValueError for an unknown
        effort.
        """
        if effort not in EFFORTS:
            raise ValueError(f"unknown effort {effort!r}; known efforts: {', '.join(EFFORTS)}")
        pyramid = Pyramid(image)
        plan: SearchPlan | None = EFFORTS[effort]
        hands: tuple[SeenHand, ...] = ()
        while plan is not None and not hands:
            hands = self._search(pyramid, plan, min_score)
            plan = plan.if_blind
        return hands[:max_hands]

    def _search(self, pyramid: Pyramid, plan: SearchPlan, min_score: float) -> tuple[SeenHand, ...]:
        seen = search(self._palms, self._landmarks, pyramid, plan)
        hands = look_closely(self._landmarks, pyramid, seen, LOOKS[: plan.num_looks])
        hands = [hand for hand in hands if hand.score >= min_score]
        sure = [hand.score * float(hand.confidence.mean()) for hand in hands]
        # Of two about equally certain readings, the larger is the whole hand and the other a part of it.
        ranks = [round(one / _AS_SURE) + 1 - 1 / (1 + hand.size_px) for one, hand in zip(sure, hands, strict=True)]
        certain = np.array(sure) >= _CERTAIN
        order = each_once(np.array([hand.joints_px for hand in hands]).reshape(-1, 21, 2), ranks, certain)
        return tuple(sorted((hands[number] for number in order), key=lambda hand: -hand.score))

    def look(self, image: UInt8[np.ndarray, "H W 3"], boxes_px: Float[np.ndarray, "N 4"]) -> tuple[SeenHand, ...]:
        """Return one hand per box x0, y0, x1, y1 (pixels), without a search; if a box has no hand, its score is low."""
        if not len(boxes_px):
            return ()
        pyramid = Pyramid(image)
        return tuple(look_closely(self._landmarks, pyramid, look_in_boxes(self._landmarks, pyramid, boxes_px)))

    def follow(self, image: UInt8[np.ndarray, "H W 3"], hands: Sequence[SeenHand]) -> tuple[SeenHand, ...]:
        """Return the `hands` of the previous frame as they are in this frame, in the same order.

        Each is searched for only where it was; a hand that is no longer there has a low score.
        """
        if not hands:
            return ()
        pyramid, before = Pyramid(image), np.array([hand.joints_px for hand in hands])
        near = _at(before)
        return tuple(look_closely(self._landmarks, pyramid, look_at(self._landmarks, pyramid, near.regions())))


def _at(joints_px: Float[np.ndarray, "N 21 2"]) -> Sightings:
    count = len(joints_px)
    return Sightings(joints_px, np.zeros((count, 21)), np.zeros((count, 21, 3)), np.ones(count), np.full(count, 0.5))
