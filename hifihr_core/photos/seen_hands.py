"""The shipped eyes as a detector: the hands in a photo, or the keypoints of hands in given boxes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from jaxtyping import UInt8

from hifihr_core.eyes import MIN_SCORE, Eyes, SeenHand
from hifihr_core.photos.detections import Detection, mirrored
from hifihr_core.photos.reading import Photo

#: Minimum score of keypoints in a given box; below it, the image network does better.
_SEEN = 0.5


class EyesDetector:
    """Finds the hands in a photo with a given effort; see `Eyes.find`."""

    def __init__(self, effort: str = "auto", *, max_hands: int | None = None, min_score: float | None = None) -> None:
        self.effort, self.max_hands = effort, max_hands
        self.min_score = MIN_SCORE if min_score is None else min_score

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
        """Return the hands in a photo, most certain first."""
        hands = shared_eyes().find(image, self.effort, max_hands=self.max_hands, min_score=self.min_score)
        return [as_detection(hand) for hand in hands]


@cache
def shared_eyes() -> Eyes:
    """Return the shipped eyes, loaded once per process."""
    return Eyes.load()


def as_detection(hand: SeenHand) -> Detection:
    """Convert a hand seen by the eyes to a detection."""
    return Detection(
        box_px=hand.box_px,
        score=hand.score,
        side=hand.side,
        keypoints_px=hand.joints_px,
        keypoints_confidence=hand.confidence,
        seen=hand,
    )


def complete(photo: Photo, detections: Sequence[Detection], *, mirror: bool = False) -> list[Detection]:
    """Return the hands; those without keypoints get the keypoints that the eyes see in their boxes.

    Known sides are kept; with `mirror`, sides that the eyes see are swapped. If the eyes see no hand in a box, the hand
    is unchanged except for a low score and a note. Everything is in pixels of the full-size photo.
    """
    hands = list(detections)
    blind = [number for number, one in enumerate(hands) if one.keypoints_px is None]
    if not blind:
        return hands
    scale = np.diag(photo.T_image_photo)[:2]
    boxes = np.stack([hands[number].box_px * np.tile(scale, 2) for number in blind])
    for number, seen in zip(blind, shared_eyes().look(photo.image, boxes), strict=True):
        found = as_detection(seen).resized(tuple(1 / scale))
        hands[number] = _in_box(hands[number], mirrored([found])[0] if mirror else found)
    return hands


def _in_box(given: Detection, found: Detection) -> Detection:
    if found.score < _SEEN:
        return replace(given, score=found.score, notes=(*given.notes, "no hand was seen in this box"))
    return replace(found, side=given.side or found.side, K=given.K, notes=given.notes)
