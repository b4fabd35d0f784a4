"""One hand found in a photo, by a detector, a file, or the user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from hifihr_core.errors import DataError
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.geometry.crops import box_around
from hifihr_core.records import Side
from hifihr_core.skeleton import NUM_JOINTS

#: Sides of crops relative to the longer sides of their boxes. A detector's box ends at the centres of joints; the crop
#: should include the whole hand and some surroundings.
KEYPOINT_BOX_SCALE, GIVEN_BOX_SCALE = 1.5, 1.1
#: Minimum width and height of a box, pixels, and its maximum extent outside the photo, relative to the photo's size.
MIN_BOX_PX = 4.0
_FARTHEST = 3.0
#: Minimum number of keypoints to start from, and the minimum fraction of their box that they must span.
ENOUGH_KEYPOINTS = 6
_LEAST_EXTENT = 0.25


@dataclass(frozen=True, init=False)
class Detection:
    """One hand in a photo, in pixels of the upright full-size photo.

    `box_px` is (x0, y0, x1, y1); in files and results it is [x, y, width, height]. `side` is anatomical, in an
    un-mirrored photo, and None if it is unknown. `keypoints_px` is None without keypoints; a keypoint with confidence 0
    was not found, and its pixel is meaningless. `K` is the camera of the photo, if the source of the hand gives it.
    `seen` is the eyes' sighting, if the keypoints come from the eyes.
    """

    box_px: Float[np.ndarray, "4"]
    score: float = 1.0
    side: Side | None = None
    keypoints_px: Float[np.ndarray, "21 2"] | None = None
    keypoints_confidence: Float[np.ndarray, "21"] | None = None
    K: Float[np.ndarray, "3 3"] | None = None
    notes: tuple[str, ...] = ()
    seen: SeenHand | None = None

    def __init__(
        self,
        box_px: object,
        score: float = 1.0,
        side: str | None = None,
        keypoints_px: object = None,
        keypoints_confidence: object = None,
        K: object = None,
        notes: tuple[str, ...] = (),
        seen: SeenHand | None = None,
    ) -> None:
        """Check and convert the fields: arrays may be lists; without confidences, every keypoint has confidence 1.

        Raises: ValueError for a wrong shape, an empty box, a side that is neither "left" nor "right", or non-finite
        numbers.
        """
        if keypoints_px is not None and keypoints_confidence is None:
            keypoints_confidence = np.ones(NUM_JOINTS)
        arrays = {"box_px": box_px, "keypoints_px": keypoints_px, "keypoints_confidence": keypoints_confidence, "K": K}
        for name, value in arrays.items():
            object.__setattr__(self, name, None if value is None else _array(name, value, _SHAPES[name]))
        for name, word in {"score": float(score), "side": side, "notes": notes, "seen": seen}.items():
            object.__setattr__(self, name, word)
        if not (self.box_px[2:] > self.box_px[:2]).all():
            raise ValueError(f"box_px is {self.box_px.tolist()}, expected x0 < x1 and y0 < y1")
        if side not in (None, "left", "right"):
            raise ValueError(f"side is {side!r}, expected 'left', 'right' or None")

    @property
    def found(self) -> Bool[np.ndarray, "21"]:
        """Which keypoints were found."""
        return np.zeros(NUM_JOINTS, bool) if self.keypoints_confidence is None else self.keypoints_confidence > 0

    @property
    def box_xywh(self) -> list[float]:
        """The box in the form used in files and results: [x, y, width, height]."""
        return [*self.box_px[:2].tolist(), *(self.box_px[2:] - self.box_px[:2]).tolist()]

    def resized(self, factor: float | Sequence[float]) -> "Detection":
        """Return the same hand in a photo scaled by `factor` (one factor, or one per axis)."""
        scale = np.broadcast_to(np.asarray(factor, np.float64), (2,))
        keypoints = None if self.keypoints_px is None else self.keypoints_px * scale
        K = None if self.K is None else np.diag((*scale, 1.0)) @ self.K
        seen = None if self.seen is None else self.seen.resized((float(scale[0]), float(scale[1])))
        return replace(self, box_px=self.box_px * np.tile(scale, 2), keypoints_px=keypoints, K=K, seen=seen)


_SHAPES: Mapping[str, tuple[int, ...]] = {
    "box_px": (4,),
    "keypoints_px": (NUM_JOINTS, 2),
    "keypoints_confidence": (NUM_JOINTS,),
    "K": (3, 3),
}


def _array(name: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r:.80}, expected numbers of shape {shape}") from error
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity, expected finite numbers")
    return array


def box_from_xywh(xywh: Sequence[float]) -> Float[np.ndarray, "4"]:
    """Return (x0, y0, x1, y1) of a box given as x, y, width, height."""
    x, y, width, height = (float(value) for value in xywh)
    return np.array([x, y, x + width, y + height])


def mirrored(detections: Sequence[Detection]) -> list[Detection]:
    """Return the hands with left and right swapped, for a selfie that shows the person as in a mirror."""
    other: Mapping[Side | None, Side | None] = {"left": "right", "right": "left", None: None}
    seen = [one.seen and replace(one.seen, side="right" if one.seen.side == "left" else "left") for one in detections]
    return [replace(one, side=other[one.side], seen=saw) for one, saw in zip(detections, seen, strict=True)]


def check_in_photo(detection: Detection, width: int, height: int) -> None:
    """Check that a hand can be in a photo of `width` x `height` pixels.

    Raises: DataError for a tiny box, a box outside the photo or far larger than it, numbers that look normalised to
    0..1, and keypoints outside their box.
    """
    box, size = detection.box_px, np.array([width, height])
    said = f"box {_rounded(detection.box_xywh)} (x, y, width, height)"
    photo = f"the photo of {width} x {height} pixels"
    if (np.abs(box) <= 1).all():
        raise DataError(f"{said} looks normalised to 0..1; multiply by the width and height of {photo}")
    if (box[2:] - box[:2]).min() < MIN_BOX_PX:
        raise DataError(
            f"{said} is too small, expected a width and height of at least {MIN_BOX_PX:.0f} pixels in {photo}"
        )
    if (box[2:] <= 0).any() or (box[:2] >= size).any():
        raise DataError(f"{said} is outside {photo}, expected pixels of this photo")
    if (box[:2] < -_FARTHEST * size).any() or (box[2:] > (1 + _FARTHEST) * size).any():
        raise DataError(f"{said} is far larger than {photo}, expected pixels of this photo")
    if detection.keypoints_px is None or not detection.found.any():
        return
    points = detection.keypoints_px[detection.found]
    if (np.abs(points) <= 1).all():
        raise DataError(f"keypoints look normalised to 0..1; multiply by the width and height of {photo}")
    around = box_around(points)
    if (around[2:] < box[:2]).any() or (around[:2] > box[2:]).any():
        raise DataError(
            f"keypoints {_rounded(around)} (x0, y0, x1, y1) are outside their {said}; give both in pixels of the photo"
        )


def without_poor_keypoints(detection: Detection) -> Detection:
    """Return the hand, without its keypoints if they are too few or span too little of the box to start from.

    The hand then gets a note. Three points do not determine a pose, so the image network does better from the box
    alone.
    """
    if detection.keypoints_px is None:
        return detection
    found = int(detection.found.sum())
    if found < ENOUGH_KEYPOINTS:
        return _without(detection, f"too few keypoints were found ({found} of {NUM_JOINTS}), so they are not used")
    extent = np.ptp(detection.keypoints_px[detection.found], axis=0).max()
    if extent < _LEAST_EXTENT * (detection.box_px[2:] - detection.box_px[:2]).max():
        return _without(detection, "the keypoints span only a small part of the box, so they are not used")
    return detection


def _without(detection: Detection, note: str) -> Detection:
    return replace(detection, keypoints_px=None, keypoints_confidence=None, notes=(*detection.notes, note))


def _rounded(values: Sequence[float] | np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in values) + "]"
