"""Evaluate with detected boxes in place of labelled ones, as in prediction, where there are no labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from hifihr_core.errors import DataError
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.photos.detections import KEYPOINT_BOX_SCALE, Detection
from hifihr_core.photos.detectors import Detector
from hifihr_core.samples import Sample
from hifihr_core.stream.collate import hand_box
from hifihr_core.stream.decode import decode_picture
from hifihr_core.stream.sample_sets import Samples

#: A detected hand is the labelled one if their boxes overlap by this much (intersection over union).
_SAME_HAND = 0.2
#: The scores that are defined for a missed hand: none of its points is correct.
_SHARES = ("auc_joints", "auc_vertices", "f5", "f15")


@dataclass(frozen=True)
class FoundBoxes:
    """The boxes of the hands that were found, by position of the sample, and the keys of the samples that were missed.

    `overlap` is the mean intersection over union with the labelled boxes, None without labels; `others` is the number
    of detections that are not the labelled hand.
    """

    boxes_px: Mapping[int, Float[np.ndarray, "4"]]
    missed: tuple[str, ...]
    overlap: float | None
    others: int

    @property
    def positions(self) -> list[int]:
        """Return the positions of the samples whose hand was found, in order."""
        return list(self.boxes_px)

    @property
    def hands(self) -> int:
        """Return the number of all hands, found or missed."""
        return len(self.boxes_px) + len(self.missed)

    @property
    def recall(self) -> float:
        """Return the fraction of hands that were found."""
        return len(self.boxes_px) / self.hands


class FoundSamples:
    """The same samples at the same positions, with the detected box as label where a hand was found."""

    def __init__(self, samples: Samples, found: FoundBoxes) -> None:
        self._samples, self._boxes_px = samples, found.boxes_px

    def __len__(self) -> int:
        """Return the number of samples, found or not."""
        return len(self._samples)

    def __getitem__(self, position: int) -> Sample:
        """Return the sample at `position`, with the detected box, if there is one, as its label `box_px`."""
        sample = self._samples[position]
        box_px = self._boxes_px.get(position)
        if box_px is None:
            return sample
        return replace(sample, labels=MappingProxyType({**sample.labels, "box_px": box_px.astype(np.float32)}))


def find_boxes(
    samples: Samples, positions: Sequence[int], detector: Detector, *, on_progress: OnProgress = no_progress
) -> FoundBoxes:
    """Search for the labelled hand in each sample's stored picture, a crop that shows a right (or mirrored left) hand.

    Raises: DataError if a picture cannot be decoded, or the hand is not found in any.
    """
    boxes, missed, overlaps, others = {}, [], [], 0
    for number, position in enumerate(positions):
        sample = samples[position]
        hands = detector(decode_picture(sample))
        chosen, overlap = labelled_hand(hands, hand_box(sample.labels))
        others += len(hands) - (chosen is not None)
        if chosen is None:
            missed.append(sample.key)
        else:
            boxes[position] = chosen.box_px
            overlaps += [] if overlap is None else [overlap]
        on_progress(number + 1, len(positions))
    if not boxes:
        raise DataError(
            f"pictures in which the labelled hand was found: 0 of {len(positions):,}; evaluate with --boxes labels"
        )
    return FoundBoxes(boxes, tuple(missed), float(np.mean(overlaps)) if overlaps else None, others)


def labelled_hand(
    hands: Sequence[Detection], box_px: Float[np.ndarray, "4"] | None
) -> tuple[Detection | None, float | None]:
    """Return the detection of the labelled hand, and the intersection over union of the two boxes; None if not found.

    It is the detection with the largest overlap. Without a labelled box, it is the most certain right hand (stored
    pictures show right hands), or else the most certain hand.
    """
    if box_px is None:
        ordered = sorted(hands, key=lambda hand: (hand.side == "right", hand.score), reverse=True)
        return (ordered[0] if ordered else None), None
    overlaps = [_overlap(hand.box_px, box_px) for hand in hands]
    best = int(np.argmax(overlaps)) if overlaps else -1
    return (hands[best], overlaps[best]) if overlaps and overlaps[best] > _SAME_HAND else (None, None)


def crop_scale(of_dataset: float | None) -> float:
    """Return the side of a crop as a multiple of the detected box.

    It is the same multiple as for the dataset's labelled boxes; if that is None, because the dataset's pictures are
    crops already, it is the one that `hifihr predict` uses.
    """
    return KEYPOINT_BOX_SCALE if of_dataset is None else of_dataset


def boxes_document(found: FoundBoxes | None, detector: str, metrics: Mapping[str, float | None]) -> dict[str, Any]:
    """Return the report's entry about boxes.

    Its `with_missed` contains the areas under PCK curves and the F-scores if missed hands count as 0.
    """
    if found is None:
        return {"from": "labels"}
    counted = {name: value for name, value in metrics.items() if name.endswith(_SHARES) and value is not None}
    return {
        "from": "predicted",
        "detector": detector,
        "hands": found.hands,
        "found": len(found.boxes_px),
        "recall": found.recall,
        "missed": list(found.missed),
        "others": found.others,
        "overlap": found.overlap,
        "with_missed": {name: value * found.recall for name, value in counted.items()},
    }


def boxes_note(found: FoundBoxes) -> str:
    """Return the remark for scores with detected boxes."""
    return (
        f"predicted boxes: {len(found.boxes_px):,} of {found.hands:,} hands were found (recall {found.recall:.3f}), "
        f"{len(found.missed):,} missed; errors cover only hands that were found"
    )


def _overlap(one: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    both = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
    areas = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return float(both / max(areas - both, 1e-9))
