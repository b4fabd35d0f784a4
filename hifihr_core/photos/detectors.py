"""The table of detectors: the eyes at various levels of effort, and the whole photo as one hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8

from hifihr_core.lookup import lookup
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.reading import Photo
from hifihr_core.photos.seen_hands import EyesDetector

Detector = Callable[[UInt8[np.ndarray, "H W 3"]], list[Detection]]


@dataclass(frozen=True)
class DetectorRow:
    """A detector: a description, and how to build it from `max_hands` and `min_score` (None: the defaults).

    `finds_keypoints` is False if it only gives boxes.
    """

    summary: str
    build: Callable[..., Detector]
    finds_keypoints: bool = True


def whole_image(image: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
    """Return the whole photo as one hand of unknown side."""
    height, width = image.shape[:2]
    return [Detection(np.array([0.0, 0.0, width, height]), score=1.0)]


def detect(photo: Photo, detector: Detector) -> list[Detection]:
    """Return the hands that a detector finds, in pixels of the full-size photo."""
    scale = np.diag(photo.T_image_photo)[:2]
    return [found.resized(tuple(1 / scale)) for found in detector(photo.image)]


DETECTORS: Mapping[str, DetectorRow] = MappingProxyType(
    {
        "auto": DetectorRow("the photo and overlapping parts of it", partial(EyesDetector, "auto")),
        "fast": DetectorRow(
            "one pass over the whole photo, and over parts of it only if that finds nothing",
            partial(EyesDetector, "fast"),
        ),
        "thorough": DetectorRow(
            "also rotated and finer parts; takes seconds per photo", partial(EyesDetector, "thorough")
        ),
        "none": DetectorRow("the whole photo is one hand", lambda **options: whole_image, finds_keypoints=False),
    }
)


def choose_detector(name: str) -> str:
    """Return `name` if it is that of a detector. Raises: ConfigError for an unknown one."""
    lookup(DETECTORS, name, "detector")
    return name


def build_detector(name: str, *, max_hands: int | None = None, min_score: float | None = None) -> Detector:
    """Build a detector from the table.

    Raises: ConfigError for an unknown name; AssetError if the weights of the eyes are missing.
    """
    return DETECTORS[choose_detector(name)].build(max_hands=max_hands, min_score=min_score)
