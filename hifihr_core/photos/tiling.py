"""A detector that loses hands that are small in the picture looks at overlapping tiles as well; each hand once."""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float

from hifihr_core.geometry.crops import box_around
from hifihr_core.photos.detections import MIN_BOX_PX, Detection

#: Tilings of the photo, coarse to fine: as many rows as columns.
TILINGS = (1, 2, 3)
_TILE_OVERLAP = 0.35
_SAME_HAND_OVERLAP = 0.5
#: Wrist and the bases of the fingers; and how near two palms can be, in sizes of the larger hand, before they are one.
_PALM = [0, 5, 9, 13, 17]
_ONE_PALM = 0.15
_DETECTION_INPUT_PX = 1280

#: What a detector says about one hand of a tile: keypoints in its pixels, the side, the score.
Sighting = tuple[Float[np.ndarray, "21 2"], str, float]
Look = Callable[[np.ndarray], list[Sighting]]


def look_closer(image: np.ndarray, look: Look, max_hands: int) -> list[Detection]:
    """Run a detector over the photo, then over its tiles, and keep each hand once.

    The coarser sighting of a hand wins, since a tile may have cut it; a finer one is kept where it shows another hand.
    """
    kept: list[Detection] = []
    for tiling in TILINGS:
        sightings = [sighting for tile in _tiles(image, tiling) for sighting in _look_at(image, *tile, look)]
        for sighting in sorted(sightings, key=lambda one: -one.score):
            if not any(_same_hand(sighting, other) for other in kept):
                kept.append(sighting)
    return sorted(kept, key=lambda one: -one.score)[:max_hands]


def _look_at(image: np.ndarray, x: int, y: int, tile: np.ndarray, look: Look) -> list[Detection]:
    """Return the hands that a tile shows whole; one that crosses an interior border is left to its neighbour."""
    scale = min(1.0, _DETECTION_INPUT_PX / max(tile.shape[:2]))
    small = cv2.resize(tile, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else tile
    factor = np.array([tile.shape[1] / small.shape[1], tile.shape[0] / small.shape[0]])
    corner, size = np.array([x, y]), np.array(tile.shape[1::-1])
    inner_low = np.where(corner > 0, corner, -np.inf)
    inner_high = np.where(corner + size < image.shape[1::-1], corner + size, np.inf)
    sightings = [_detection(keypoints * factor + corner, side, score) for keypoints, side, score in look(small)]
    return [
        one
        for one in sightings
        if (one.box_px[:2] > inner_low).all()
        and (one.box_px[2:] < inner_high).all()
        and min(one.box_px[2:] - one.box_px[:2]) >= MIN_BOX_PX  # a flat box is not a hand
    ]


def _tiles(image: np.ndarray, tiling: int) -> list[tuple[int, int, np.ndarray]]:
    height, width = image.shape[:2]
    side = (int(height / (tiling - (tiling - 1) * _TILE_OVERLAP)), int(width / (tiling - (tiling - 1) * _TILE_OVERLAP)))
    starts = [np.linspace(0, full - part, tiling).astype(int) for full, part in zip((height, width), side, strict=True)]
    return [
        (x, y, np.ascontiguousarray(image[y : y + side[0], x : x + side[1]]))
        for y in starts[0].tolist()
        for x in starts[1].tolist()
    ]


def _detection(keypoints_px: Float[np.ndarray, "21 2"], side: str, score: float) -> Detection:
    return Detection(
        box_px=box_around(keypoints_px),
        score=float(score),
        side="right" if side == "right" else "left",
        keypoints_px=keypoints_px,
        keypoints_confidence=np.full(21, float(score)),
    )


def _same_hand(a: Detection, b: Detection) -> bool:
    """Say whether two sightings show one hand: boxes that nest on one side, or nearly coincide on two.

    Clasped hands overlap with different sides, so a right hand inside the box of a left one is another hand, unless
    their palms stand in one place: two hands cannot.
    """
    intersection = box_area(
        np.concatenate((np.maximum(a.box_px[:2], b.box_px[:2]), np.minimum(a.box_px[2:], b.box_px[2:])))
    )
    areas = box_area(a.box_px), box_area(b.box_px)
    of_smaller = intersection / max(min(areas), 1e-9)
    of_larger = intersection / max(*areas, 1e-9)
    nested = of_smaller > _SAME_HAND_OVERLAP
    return nested if a.side == b.side or _one_palm(a, b) else of_larger > _SAME_HAND_OVERLAP


def _one_palm(a: Detection, b: Detection) -> bool:
    if a.keypoints_px is None or b.keypoints_px is None:
        return False
    apart = np.linalg.norm(a.keypoints_px[_PALM].mean(axis=0) - b.keypoints_px[_PALM].mean(axis=0))
    size = max(np.ptp(a.keypoints_px, axis=0).max(), np.ptp(b.keypoints_px, axis=0).max())
    return bool(apart < _ONE_PALM * size)


def box_area(box_px: Float[np.ndarray, "4"]) -> float:
    """Return the area of a box (x0, y0, x1, y1), square pixels; 0 for an empty one."""
    return float(np.prod(np.clip(box_px[2:] - box_px[:2], 0, None)))
