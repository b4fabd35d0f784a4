"""RHD, the Rendered Hand Pose dataset (Zimmermann and Brox, ICCV 2017): rendered people, 320 x 320, two hands each.

There is one sample per picture: the hand with more visible joints; if both have the same number, the hand with more
pixels; if these are equal, too, the right hand. Left hands are mirrored with their picture, mask, K and labels.
Pictures are stored as padded crops around the hand.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.lookup import needed
from hifihr_core.samples import Sample, Side
from hifihr_core.shards import pictures
from hifihr_core.shards.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.shards.split import Split
from hifihr_core.skeleton import ROOT, gather_from
from hifihr_core.sources import checks, cutting
from hifihr_core.sources.contract import FileState, Request, Source, describe_file, describe_folder
from hifihr_core.sources.marker import MARKER_NAME, Marker, read_marker
from hifihr_core.sources.raw.attempts import attempt
from hifihr_core.sources.raw.pickled import need, read_annotation
from hifihr_core.sources.raw.raw_tree import RawFile, Tree, find_places
from hifihr_core.sources.raw.rows import Rows, write_rows

OFFICIAL = {"training": 41_258, "evaluation": 2_728}
IMAGE_PX = 320
#: Mask ids of each hand; 0 is background, 1 the person.
MASK_IDS: Mapping[Side, tuple[int, int]] = {"left": (2, 17), "right": (18, 33)}
#: Rows of each hand in the annotation.
ROWS: Mapping[Side, slice] = {"left": slice(0, 21), "right": slice(21, 42)}
SHAPES = {"uv_vis": (42, 3), "xyz": (42, 3), "K": (3, 3)}
_WIDTH = sum(int(np.prod(shape)) for shape in SHAPES.values())
_GATHER = list(gather_from("rhd"))
ANCHORS = tuple(f"anno_{folder}.pickle" for folder in OFFICIAL)
LAYOUT = """\
ROOT/training/anno_training.pickle, ROOT/training/{color,mask}/00000.png ...
ROOT/evaluation/anno_evaluation.pickle, ROOT/evaluation/{color,mask}/00000.png ...
as folders or as RHD_v1-1.zip, at any depth below --root"""
DOWNLOAD = (
    "download RHD_v1-1.zip from "
    "https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html"
)


@dataclass
class RhdSplit(Split):
    """One split of RHD; `tree` is rooted at the split's folder, `numbers` are those of the pictures, ascending.

    `stage` sets `rows`, the annotations on disk.
    """

    tree: Tree
    folder: str
    marker: Marker
    facts: DatasetFacts
    numbers: tuple[int, ...]
    count: int
    plan: Mapping[str, Any]
    bytes_each: int = 25_000
    rows: Rows | None = None

    def stage(self, folder: Path) -> None:
        """Convert the pickle of all annotations to an array on disk; an invalid entry becomes NaN."""
        target = folder / "annotations.npy"
        if not target.is_file():
            packed = _pack(read_annotation(self.tree.need(f"anno_{self.folder}.pickle")), self.numbers)
            with write_rows(target, (_WIDTH,)) as append:
                append(packed)
        self.rows = Rows(target)

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield one hand per picture, for positions start..stop-1 in `numbers`."""
        for position in range(start, stop):
            yield attempt(f"{self.numbers[position]:05d}", partial(self._read, position))

    def checks(self) -> Iterator[CheckFacts]:
        """Check the number of pictures, projection, depth and handedness of right hands, and the ids in masks."""
        if not self.marker.synthetic:
            yield checks.count("pictures", len(self.numbers), [OFFICIAL[self.folder]])
        probe = checks.probe(self.count, 500)
        staged = needed(self.rows, "the staged annotations of RHD")
        rows = np.stack([staged[int(position)] for position in probe])
        uv, xyz, K = unpack(rows[np.isfinite(rows).all(axis=1)])
        yield checks.projected_labels(xyz, K, uv[..., :2], limit_px=0.5)
        right = xyz[:, ROWS["right"]][:, _GATHER]
        yield checks.in_front(right)
        yield checks.right_handed(right)
        yield self._check_masks()

    def _check_masks(self) -> CheckFacts:
        """Check that none of at most 20 masks has an id above 33, the highest of a right hand."""
        highest = 0
        for position in checks.probe(self.count, 20):
            file = self.tree.find(f"mask/{self.numbers[position]:05d}.png")
            if file:
                highest = max(highest, int(pictures.decode(file.read(), flags=cv2.IMREAD_UNCHANGED).max()))
        return checks.verdict("mask ids", highest <= 33, f"the highest id is {highest}, expected at most 33")

    def _read(self, position: int) -> Sample:
        key = f"{self.numbers[position]:05d}"
        row = needed(self.rows, "the staged annotations of RHD")[position]
        if not np.isfinite(row).all():
            raise DataError("the annotation is missing, has the wrong shape or is not finite")
        uv, xyz, K = (values[0] for values in unpack(row[None]))
        ids = pictures.decode(self.tree.need(f"mask/{key}.png").read(), flags=cv2.IMREAD_UNCHANGED)
        ids = ids if ids.ndim == 2 else ids[..., 0]
        pixels = pictures.decode(self.tree.need(f"color/{key}.png").read())
        if pixels.shape[:2] != ids.shape:
            raise DataError(f"picture {pixels.shape[:2]} and mask {ids.shape} differ in size")
        side = choose_side(uv, ids)
        joints, points = xyz[ROWS[side]][_GATHER], uv[ROWS[side]][_GATHER]
        labels = {
            "joints_cam": joints,
            "joints_px": points[:, :2],
            "joints_visible": (points[:, 2] > 0.5).astype(np.float32),
            "root_cam": joints[ROOT],
            "bone_m": np.linalg.norm(joints[ROOT] - joints[ROOT + 1]),
        }
        mask = hand_mask(ids, side)
        return _crop(key, side, pixels, mask, K, {name: np.asarray(v, np.float32) for name, v in labels.items()})


def _crop(
    key: str, side: Side, pixels: np.ndarray, mask: np.ndarray, K: np.ndarray, labels: dict[str, np.ndarray]
) -> Sample:
    """Return the sample of one hand: a crop around its joints, mirrored if it is a left hand."""
    height, width = mask.shape
    if side == "left":
        pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        K, labels = cutting.mirror_K(K, width=width), cutting.mirror_labels(labels, width=width)
    crop = cutting.crop_around(np.clip(labels["joints_px"], 0, (width, height)), width=width, height=height)
    return Sample(
        key=key,
        annotation=key,
        image=pictures.encode_jpeg(crop.cut(pixels)),
        K=crop.shift_K(K).astype(np.float32),
        labels=crop.shift_labels(labels),
        mask=pictures.encode_mask(crop.cut(mask)),
        side=side,
    )


def hand_mask(ids: np.ndarray, side: Side) -> np.ndarray:
    """Return the Boolean mask of the pixels whose ids are those of one hand."""
    low, high = MASK_IDS[side]
    return (ids >= low) & (ids <= high)


def choose_side(uv_vis: np.ndarray, ids: np.ndarray) -> Side:
    """Return the hand with more visible joints; if equal, the one with more pixels; if equal again, the right one.

    Raises: DataError if neither has a visible joint or a pixel.
    """
    visible: dict[Side, int] = {side: int((uv_vis[rows, 2] > 0.5).sum()) for side, rows in ROWS.items()}
    seen = visible
    if visible["left"] == visible["right"]:  # counting pixels takes a twentieth of the time per sample
        seen = {side: int(hand_mask(ids, side).sum()) for side in ROWS}
    if not any((*visible.values(), *seen.values())):
        raise DataError("no hand is visible")
    return "left" if seen["left"] > seen["right"] else "right"


def unpack(rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return (uv_vis, xyz, K) of N packed rows in float64: (N, 42, 3), (N, 42, 3) and (N, 3, 3)."""
    edges = np.cumsum([0, *(int(np.prod(shape)) for shape in SHAPES.values())])
    columns = zip(edges[:-1], edges[1:], SHAPES.values(), strict=True)
    return tuple(rows[:, start:stop].reshape(-1, *shape).astype(np.float64) for start, stop, shape in columns)


def _pack(annotations: Any, numbers: Sequence[int]) -> np.ndarray:
    """Return one float32 row per picture: all of `SHAPES`, flattened; NaN where an entry is missing or wrong."""
    if not isinstance(annotations, dict):
        found = type(annotations).__name__
        raise DataError(
            f"the RHD annotation has type {found}, expected a dict keyed by picture number; download it again"
        )
    packed = np.full((len(numbers), _WIDTH), np.nan, np.float32)
    for row, number in enumerate(numbers):
        try:
            values = [need(annotations.get(number), name, shape) for name, shape in SHAPES.items()]
        except DataError:
            continue
        packed[row] = np.concatenate([value.ravel() for value in values])
    return packed


def open_rhd(request: Request) -> Sequence[Split]:
    """Return the splits under `request.root`. Raises: DataError if there are none."""
    trees = _find_trees(request.root)
    if not trees:
        raise DataError(f"{request.root}: no RHD found, expected training/anno_training.pickle; {DOWNLOAD}")
    return [_open_split(tree, folder, marker, request.limit) for folder, (tree, marker) in trees.items()]


def _find_trees(root: Path) -> dict[str, tuple[Tree, Marker]]:
    """Return the tree of every available split, rooted in its folder."""
    places = find_places(root, (*ANCHORS, MARKER_NAME))
    marks = [file for place in places if (file := place.find(MARKER_NAME))]
    marker = read_marker(marks[0] if marks else None)
    found = {folder: Tree(tuple(p for p in places if p.find(f"anno_{folder}.pickle"))) for folder in OFFICIAL}
    return {folder: (tree, marker) for folder, tree in found.items() if tree.places}


def _open_split(tree: Tree, folder: str, marker: Marker, limit: int | None) -> RhdSplit:
    numbers = tuple(int(name[:-4]) for name in tree.names("color") if name.endswith(".png") and name[:-4].isdigit())
    if not numbers:
        raise DataError(f"{folder}/color: no pictures, expected {OFFICIAL[folder]:,}; {DOWNLOAD}")
    if not marker.synthetic:  # official splits count as complete: missing pictures become problems, by number
        numbers = tuple(sorted({*numbers, *range(OFFICIAL[folder])}))
    facts = DatasetFacts(
        dataset="rhd",
        split={"training": "train", "evaluation": "evaluation"}[folder],
        version="v1.1",
        licence="unknown",
        joint_definition="other",
        synthetic=marker.synthetic,
        provenance="RHD v1.1, University of Freiburg; Zimmermann and Brox, ICCV 2017",
        crop_scale=1.8,
    )
    return RhdSplit(
        tree=tree,
        folder=folder,
        marker=marker,
        facts=facts,
        numbers=tuple(sorted(numbers)),
        count=min(len(numbers), limit) if limit else len(numbers),
        plan={"annotation_bytes": tree.need(f"anno_{folder}.pickle").size, "pictures": len(numbers), "limit": limit},
    )


def inspect_rhd(request: Request) -> Sequence[FileState]:
    """List the files of an RHD download, and their state."""
    trees = _find_trees(request.root)
    parts = []
    for folder, pictures_expected in OFFICIAL.items():
        tree, marker = trees.get(folder, (Tree(), Marker()))
        expected = None if marker.synthetic else pictures_expected
        file: RawFile | None = tree.find(f"anno_{folder}.pickle")
        parts.append(describe_file(f"{folder}/anno_{folder}.pickle", file, needed=folder == "training"))
        for kind in ("color", "mask"):
            part = describe_folder(tree, kind, expected, needed=file is not None or folder == "training")
            parts.append(FileState(f"{folder}/{kind}", part.state, part.detail))
    return parts


RHD = Source(
    name="rhd",
    summary="RHD: 43,986 rendered pictures of people with both hands labelled",
    licence="unknown",
    download=DOWNLOAD,
    layout=LAYOUT,
    open=open_rhd,
    inspect=inspect_rhd,
)
