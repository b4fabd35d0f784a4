"""A user's own photos, with the 2D keypoints that a person or a detector gave: data for self-supervision.

Keypoints come from, in this order: a file given by `keypoints` (or `keypoints.json` in the root), OpenPose's file
beside a photo (`hand_keypoints.json` for `hand.jpg`), and a detector, where one is given. One sample per hand, a padded
crop of at most `LARGEST_PX`; a left hand is mirrored. K is that of the file, else of EXIF, else a guess: `camera` in
the index says "assumed".
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import PHOTO_SUFFIXES
from hifihr_core.geometry.lenses import default_focal_px, ideal_K
from hifihr_core.outside.folders import find_files
from hifihr_core.samples import Sample
from hifihr_core.shards import pictures
from hifihr_core.shards.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.shards.split import Split
from hifihr_core.sources import cutting
from hifihr_core.sources.contract import FileState, Request, Source
from hifihr_core.sources.keypoint_files import KEYPOINTS_NAME, FoundHand, read_keypoint_file, read_openpose_photo

LARGEST_PX = 512
LAYOUT = f"""\
ROOT/*.jpg, *.png ... in any folders below --root, with ROOT/{KEYPOINTS_NAME}
{{"photo.jpg": [{{"keypoints": [[x, y, confidence] x 21], "side": "right"}}]}}, or OpenPose's photo_keypoints.json"""
DOWNLOAD = "put your photos there, or give their folder with --root"


@runtime_checkable
class Photo(Protocol):
    """An upright photo: RGB pixels, how much smaller than the file, and the focal length in its pixels, if known."""

    @property
    def image(self) -> np.ndarray: ...  # noqa: D102
    @property
    def reduction(self) -> float: ...  # noqa: D102
    @property
    def focal_px(self) -> float | None: ...  # noqa: D102


@runtime_checkable
class Detection(Protocol):
    """A hand that a detector found, in pixels of the photo; keypoints are None where it gives none."""

    @property
    def side(self) -> str | None: ...  # noqa: D102
    @property
    def keypoints_px(self) -> np.ndarray | None: ...  # noqa: D102
    @property
    def keypoints_confidence(self) -> np.ndarray | None: ...  # noqa: D102


@dataclass(frozen=True)
class Hooks:
    """What a caller plugs in: how a photo is read, and a function that builds a detector in each worker process."""

    read_photo: Callable[[Path], Photo]
    build_detector: Callable[[], Callable[[np.ndarray], Sequence[Detection]]] | None = None


@dataclass
class ImagesSplit(Split):
    """All photos below one folder; `hands` are the keypoints that a file gave, by photo."""

    root: Path
    photos: tuple[str, ...]
    hands: Mapping[str, tuple[FoundHand, ...]]
    hooks: Hooks
    facts: DatasetFacts
    count: int
    plan: Mapping[str, Any]
    bytes_each: int = 60_000
    detector: Callable[[np.ndarray], Sequence[Detection]] | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"detector": None}

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield the hands of photos start..stop-1."""
        for name in self.photos[start:stop]:
            try:
                yield from self._read(name)
            except DataError as error:
                yield Problem(key=name, reason=str(error))

    def checks(self) -> Iterator[CheckFacts]:
        """Nothing is known that could contradict itself."""
        return iter(())

    def _read(self, name: str) -> Iterator[Sample]:
        photo = self.hooks.read_photo(self.root / name)
        hands = self.hands.get(name) or read_openpose_photo(self.root / name)
        hands = tuple(hand.reduced(photo.reduction) for hand in hands) or self._detect(photo)
        if not hands:
            raise DataError(f"no keypoints; add them to {KEYPOINTS_NAME} or give a detector")
        for number, hand in enumerate(hands):
            yield cut_hand(f"{name}#{number}", photo, hand)

    def _detect(self, photo: Photo) -> tuple[FoundHand, ...]:
        if self.hooks.build_detector is None:
            return ()
        self.detector = self.detector or self.hooks.build_detector()
        found = self.detector(photo.image)
        return tuple(
            FoundHand(
                points_px=np.asarray(hand.keypoints_px, np.float32),
                confidence=np.ones(21, np.float32) if hand.keypoints_confidence is None else hand.keypoints_confidence,
                side="left" if hand.side == "left" else "right",
            )
            for hand in found
            if hand.keypoints_px is not None
        )


def cut_hand(key: str, photo: Photo, hand: FoundHand) -> Sample:
    """Return the sample of one hand: cut out, mirrored if it is a left one, and shrunk to at most `LARGEST_PX`."""
    height, width = photo.image.shape[:2]
    K = hand.K if hand.K is not None else guess_K(width, height, photo.focal_px)
    labels = hand.labels()
    points = labels["keypoints_px"][labels["keypoints_confidence"] > 0]
    if not len(points):
        raise DataError(f"hand {key}: no keypoint with confidence, expected one at least")
    pixels = photo.image[..., ::-1]
    if hand.side == "left":
        pixels = pixels[:, ::-1]
        points = np.stack((width - points[:, 0], points[:, 1]), axis=-1)
        K, labels = cutting.mirror_K(K, width=width), cutting.mirror_labels(labels, width=width)
    crop = cutting.crop_around(np.clip(points, 0, (width, height)), width=width, height=height)
    pixels, K, labels = _shrink(crop.cut(pixels), crop.shift_K(K), crop.shift_labels(labels))
    image = pictures.encode_jpeg(pixels)
    return Sample(key=key, annotation=key, image=image, K=K.astype(np.float32), labels=labels, side=hand.side)


def _shrink(
    pixels: np.ndarray, K: np.ndarray, labels: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return a picture of at most `LARGEST_PX` per side; K and keypoints by the exact ratio of each side."""
    height, width = pixels.shape[:2]
    factor = min(1.0, LARGEST_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    ratio = (size[0] / width, size[1] / height)
    if size != (width, height):
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels, np.diag((*ratio, 1.0)) @ K, cutting.scale_labels(labels, scale=ratio)


def guess_K(width: int, height: int, focal_px: float | None) -> np.ndarray:
    """Return the K of an ideal camera with `focal_px`, else with the focal length that is assumed."""
    return ideal_K(focal_px or default_focal_px(width, height), width, height)


def open_images(request: Request) -> Sequence[Split]:
    """Return one split with every photo under `request.root`.

    `request.options` holds `hooks` (`Hooks`) and perhaps `keypoints`, the path of a keypoint file.
    Raises: DataError if there is no photo, or the keypoint file is broken.
    """
    root, photos = request.root, find_photos(request.root)
    if not photos:
        raise DataError(f"{root}: no photo found, expected {', '.join(sorted(PHOTO_SUFFIXES))}; {DOWNLOAD}")
    path: Path | None = request.options.get("keypoints")
    path = path or (root / KEYPOINTS_NAME if (root / KEYPOINTS_NAME).is_file() else None)
    hands = read_keypoint_file(path) if path else {}
    unknown = [name for name in hands if name not in set(photos)]
    if len(unknown) == len(hands) > 0:
        raise DataError(f"{path}: names none of the photos (it has {unknown[0]!r}, they are like {photos[0]!r})")
    facts = DatasetFacts(
        dataset="images",
        split="train",
        version="1",
        licence="unknown",
        joint_definition="other",
        camera="assumed",
        provenance="photos of the user",
    )
    plan = {
        "photos": json.loads(json.dumps([[name, (root / name).stat().st_size] for name in photos])),
        "keypoints": path.stat().st_size if path else None,
        "detector": request.options["hooks"].build_detector is not None,
        "limit": request.limit,
    }
    count = min(len(photos), request.limit) if request.limit else len(photos)
    return [ImagesSplit(root, photos, hands, request.options["hooks"], facts, count, plan)]


def find_photos(root: Path) -> tuple[str, ...]:
    """Return the photos below a folder, in natural order, relative to it. Raises: DataError without a folder."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; {DOWNLOAD}")
    return tuple(path.relative_to(root).as_posix() for path in find_files(root, PHOTO_SUFFIXES))


def inspect_images(request: Request) -> Sequence[FileState]:
    """List the photos and where their keypoints come from."""
    photos = find_photos(request.root)
    beside = sum((request.root / name).with_name(f"{Path(name).stem}_keypoints.json").is_file() for name in photos)
    given = request.options.get("keypoints") or request.root / KEYPOINTS_NAME
    return [
        FileState("photos", "present" if photos else "missing", f"{len(photos):,} files"),
        FileState(KEYPOINTS_NAME, "present" if given.is_file() else "optional"),
        FileState("*_keypoints.json", "present" if beside else "optional", f"{beside:,} files"),
    ]


IMAGES = Source(
    name="images",
    summary="your own photos, with keypoints from a file or a detector",
    licence="unknown",
    download=DOWNLOAD,
    layout=LAYOUT,
    open=open_images,
    inspect=inspect_images,
)
