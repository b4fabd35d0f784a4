"""A user's own photos with 2D keypoints from a person or a detector: data for self-supervision.

Keypoints come from the first of these that exists: the file `keypoints` (or `keypoints.json` in the root), OpenPose's
file beside a photo (`hand_keypoints.json` for `hand.jpg`), a detector. There is one sample per hand, a padded crop of
at most `LARGEST_PX`; left hands are mirrored. K comes from the file, else from EXIF, else it is a guess; `camera` in
the index is always "assumed". Hands found by the detector `eyes` also get an outline as their mask if it can be trusted
(`photo_outlines`), and then their joints count as annotated, too (`joints_px`): data for weak supervision.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Bool

from hifihr_core.errors import DataError
from hifihr_core.files import PHOTO_SUFFIXES
from hifihr_core.outside.folders import find_files
from hifihr_core.photos.camera_choice import choose_camera
from hifihr_core.photos.detections import Detection, check_in_photo
from hifihr_core.photos.detectors import DETECTORS, Detector, build_detector, choose_detector, detect
from hifihr_core.photos.photo_names import match_photos
from hifihr_core.photos.reading import Photo, read_photo
from hifihr_core.samples import Sample
from hifihr_core.shards import pictures
from hifihr_core.shards.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.shards.split import Split
from hifihr_core.sources import cutting
from hifihr_core.sources.contract import FileState, Request, Source, count_files
from hifihr_core.sources.keypoint_files import (
    KEYPOINTS_NAME,
    keypoint_labels,
    read_keypoint_file,
    read_openpose_photo,
)
from hifihr_core.sources.raw.attempts import attempt_all

if TYPE_CHECKING:
    from hifihr_core.sources.photo_outlines import Outliner

LARGEST_PX = 512
#: True where a hand is, in the pixels of a photo's picture.
Mask = Bool[np.ndarray, "H W"]
#: How joints are defined that a detector found.
LABELLED_AS = "freihand"
LAYOUT = f"""\
ROOT/*.jpg, *.png ... in any folders below --root, with ROOT/{KEYPOINTS_NAME}
{{"photo.jpg": [{{"keypoints": [[x, y, confidence] x 21], "side": "right"}}]}}, or OpenPose's photo_keypoints.json"""
DOWNLOAD = "put your photos there or give their folder with --root"


@dataclass
class ImagesSplit(Split):
    """All photos below a folder; each worker builds its own detector.

    `hands` maps a photo to its hands in the keypoint file; `outlines` says whether hands that the eyes find are also
    outlined.
    """

    root: Path
    photos: tuple[str, ...]
    hands: Mapping[str, tuple[Detection, ...]]
    detector_name: str | None
    outlines: bool
    facts: DatasetFacts
    count: int
    plan: Mapping[str, Any]
    bytes_each: int = 60_000
    detector: Detector | None = field(default=None, repr=False)
    outliner: "Outliner | None" = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"detector": None, "outliner": None}

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield the hands of photos start..stop-1."""
        for name in self.photos[start:stop]:
            yield from attempt_all(name, partial(self._read, name))

    def checks(self) -> Iterator[CheckFacts]:
        """Return no checks: photos have no annotations that could contradict each other."""
        return iter(())

    def _read(self, name: str) -> Iterator[Sample]:
        photo = read_photo(self.root / name)
        known = self.hands.get(name) or read_openpose_photo(self.root / name)
        hands = [(hand, None) for hand in known] if known else self._detect(photo)
        if not hands:
            raise DataError(self._describe_no_hand())
        for number, (hand, mask) in enumerate(hands):
            yield cut_hand(f"{name}#{number}", photo, hand, mask)

    def _describe_no_hand(self) -> str:
        """Return why a photo has no samples, and the remedy."""
        if self.detector_name is None:
            return f"no keypoints; add them to {KEYPOINTS_NAME}, or choose a detector that finds keypoints"
        found = f"the detector {self.detector_name} found no hand"
        return f"{found}; add keypoints to {KEYPOINTS_NAME}, or leave the photo out"

    def _detect(self, photo: Photo) -> list[tuple[Detection, Mask | None]]:
        """Return the hands that the detector finds, with their masks in `photo.image` if they can be trusted."""
        if self.detector_name is None:
            return []
        self.detector = self.detector or build_detector(self.detector_name)
        hands = [hand for hand in detect(photo, self.detector) if hand.keypoints_px is not None]
        return [(as_labels(hand), mask) for hand, mask in zip(hands, self._outline(photo, hands), strict=True)]

    def _outline(self, photo: Photo, hands: Sequence[Detection]) -> list[Mask | None]:
        if not self.outlines or all(hand.seen is None for hand in hands):
            return [None] * len(hands)
        from hifihr_core.sources.photo_outlines import Outliner  # torch, which nothing else here needs

        self.outliner = self.outliner or Outliner.load()
        found = self.outliner(photo, hands)
        return [outline.mask if outline is not None and outline.trusted else None for outline in found]


def as_labels(hand: Detection) -> Detection:
    """Return a hand with its joints as the labels define them: those of the eyes are moved, others are unchanged."""
    if hand.seen is None or hand.keypoints_px is None or not hand.found.all():
        return hand
    import torch  # nothing else that prepares photos needs it

    from hifihr_core.lifting.seen_definition import from_seen

    seen_px = torch.from_numpy(np.asarray(hand.keypoints_px, np.float64))
    return replace(hand, keypoints_px=from_seen(seen_px[None], LABELLED_AS)[0].numpy())


def cut_hand(key: str, photo: Photo, hand: Detection, mask: Mask | None = None) -> Sample:
    """Return the sample of one hand: cropped, mirrored if it is a left hand, and shrunk to at most `LARGEST_PX`.

    `mask` is in the pixels of `photo.image`; with one, the hand's joints count as annotated, as the label `joints_px`.
    Raises: DataError for a hand without keypoints, or one outside this photo.
    """
    check_in_photo(hand, *photo.size_px)
    camera = choose_camera(photo, detections=[hand])
    height, width = photo.image.shape[:2]
    if hand.keypoints_px is None or hand.keypoints_confidence is None or not hand.found.any():
        raise DataError(f"hand {key}: no keypoint with a confidence above 0, expected at least one")
    K = photo.T_image_photo @ camera.K
    labels = keypoint_labels(
        hand.keypoints_px * np.diag(photo.T_image_photo)[:2], hand.keypoints_confidence, centre_px=0.0
    )
    points = labels["keypoints_px"][hand.found]
    if mask is not None:
        labels["joints_px"] = labels["keypoints_px"]
    pixels = photo.image[..., ::-1]
    if hand.side == "left":
        pixels, mask = pixels[:, ::-1], None if mask is None else mask[:, ::-1]
        points = np.stack((width - points[:, 0], points[:, 1]), axis=-1)
        K, labels = cutting.mirror_K(K, width=width), cutting.mirror_labels(labels, width=width)
    crop = cutting.crop_around(np.clip(points, 0, (width, height)), width=width, height=height)
    pixels, K, labels = _shrink(crop.cut(pixels), crop.shift_K(K), crop.shift_labels(labels))
    return Sample(
        key=key,
        annotation=key,
        image=pictures.encode_jpeg(pixels),
        K=K.astype(np.float32),
        labels=labels,
        mask=None if mask is None else _encode_cut(crop.cut(mask), pixels.shape),
        side=hand.side or "right",
    )


def _encode_cut(mask: Mask, shape: tuple[int, ...]) -> bytes:
    """Return an encoded mask, shrunk to the height and width of its picture."""
    shades = cv2.resize(mask.astype(np.uint8) * 255, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return pictures.encode_mask(shades > 127)


def _shrink(
    pixels: np.ndarray, K: np.ndarray, labels: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return a picture of at most `LARGEST_PX` per side, with K and keypoints scaled by the exact ratios."""
    height, width = pixels.shape[:2]
    factor = min(1.0, LARGEST_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    ratio = (size[0] / width, size[1] / height)
    if size != (width, height):
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels, np.diag((*ratio, 1.0)) @ K, cutting.scale_labels(labels, scale=ratio)


def open_images(request: Request) -> Sequence[Split]:
    """Return one split with every photo under `request.root`.

    `request.options` may have `keypoints`, the path of a file with the keypoints of hands, `detector`, the name of a
    detector for photos without keypoints (default: the best one available), and `outlines`, whether to outline the
    hands that the eyes find (default: True).
    Raises: DataError if there is no photo, or if the keypoint file is broken or names other photos; ConfigError for an
    unknown detector.
    """
    detector = _choose_detector(request.options.get("detector"))
    outlines = bool(request.options.get("outlines", True)) and detector is not None
    root, photos = request.root, find_photos(request.root)
    if not photos:
        raise DataError(f"{root}: no photo found, expected {', '.join(sorted(PHOTO_SUFFIXES))}; {DOWNLOAD}")
    path: Path | None = request.options.get("keypoints")
    path = path or (root / KEYPOINTS_NAME if (root / KEYPOINTS_NAME).is_file() else None)
    hands = match_photos(read_keypoint_file(path), photos, str(path), root=root).hands if path else {}
    facts = DatasetFacts(
        dataset="images",
        split="train",
        version="1",
        licence="unknown",
        joint_definition="other",
        camera="assumed",
        provenance="the user's photos",
    )
    plan = {
        "photos": json.loads(json.dumps([[name, (root / name).stat().st_size] for name in photos])),
        "keypoints": path.stat().st_size if path else None,
        "detector": detector,
        "outlines": outlines,
        "limit": request.limit,
    }
    count = min(len(photos), request.limit) if request.limit else len(photos)
    return [ImagesSplit(root, photos, hands, detector, outlines, facts, count, plan)]


def _choose_detector(name: str | None) -> str | None:
    """Return the detector to use, `name` or the best one if None; return None if it finds boxes but no keypoints."""
    chosen = choose_detector(name or "auto")
    return chosen if DETECTORS[chosen].finds_keypoints else None


def find_photos(root: Path) -> tuple[str, ...]:
    """Return the photos below a folder, in natural order, relative to it. Raises: DataError if it is not a folder."""
    if not root.is_dir():
        found = "a file" if root.exists() else "no such folder"
        raise DataError(f"{root}: {found}, expected a folder with photos; {DOWNLOAD}")
    return tuple(path.relative_to(root).as_posix() for path in find_files(root, PHOTO_SUFFIXES))


def inspect_images(request: Request) -> Sequence[FileState]:
    """List the photos and the sources of their keypoints."""
    photos = find_photos(request.root)
    beside = sum((request.root / name).with_name(f"{Path(name).stem}_keypoints.json").is_file() for name in photos)
    given: Path | None = request.options.get("keypoints")
    is_there = (given or request.root / KEYPOINTS_NAME).is_file()
    return [
        FileState("photos", "present" if photos else "missing", count_files(len(photos))),
        FileState(str(given or KEYPOINTS_NAME), "present" if is_there else "missing" if given else "optional"),
        FileState("*_keypoints.json", "present" if beside else "optional", count_files(beside)),
    ]


IMAGES = Source(
    name="images",
    summary="your own photos, with keypoints from a file or a detector",
    licence="unknown",
    download=DOWNLOAD,
    layout=LAYOUT,
    open=open_images,
    inspect=inspect_images,
    options=frozenset({"keypoints", "detector", "outlines"}),
)
