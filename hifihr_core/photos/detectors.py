"""Where the hands are: a detector, one row of a table each, or the whole photo."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8

from hifihr_core.lookup import lookup
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.mediapipe_hands import MediapipeHands, why_no_mediapipe
from hifihr_core.photos.reading import Photo

Detector = Callable[[UInt8[np.ndarray, "H W 3"]], list[Detection]]


@dataclass(frozen=True)
class DetectorRow:
    """A detector: one line about it, how it is built, and why it cannot run here (None where it can).

    `finds_keypoints` is False for one that gives boxes alone.
    """

    summary: str
    build: Callable[[], Detector]
    why_not: Callable[[], str | None] = lambda: None
    finds_keypoints: bool = True


def whole_image(image: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
    """Take the whole photo as one hand of unknown side."""
    height, width = image.shape[:2]
    return [Detection(np.array([0.0, 0.0, width, height]), score=1.0)]


def detect(photo: Photo, detector: Detector) -> list[Detection]:
    """Return the hands that a detector finds, in pixels of the photo at its full size."""
    scale = np.diag(photo.T_image_photo)[:2]
    return [found.resized(tuple(1 / scale)) for found in detector(photo.image)]


#: Best first; `auto` takes the first that can run here.
DETECTORS: Mapping[str, DetectorRow] = MappingProxyType(
    {
        "mediapipe": DetectorRow("MediaPipe Hands, an optional package", MediapipeHands, why_no_mediapipe),
        "none": DetectorRow("the whole photo is one hand", lambda: whole_image, finds_keypoints=False),
    }
)


def available_detectors() -> list[str]:
    """Return the names of the detectors that can run here, best first."""
    return [name for name, row in DETECTORS.items() if row.why_not() is None]


def choose_detector(name: str) -> str:
    """Return the name of a detector: `auto` is the best one that can run here. Raises: ConfigError for another name."""
    if name == "auto":
        return available_detectors()[0]
    lookup({"auto": None, **DETECTORS}, name, "detector")
    return name


def build_detector(name: str) -> Detector:
    """Return a detector of the table, or `auto`. Raises: DeviceError where it cannot run here, ConfigError as above."""
    return DETECTORS[choose_detector(name)].build()
