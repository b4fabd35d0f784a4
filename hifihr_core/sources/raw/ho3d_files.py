"""The files of an HO-3D download: lists of frames, pictures, annotations (metas), segmentations."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hifihr_core.errors import DataError
from hifihr_core.shards import pictures
from hifihr_core.skeleton import ROOT, gather_from
from hifihr_core.sources import checks, cutting
from hifihr_core.sources.contract import FileState
from hifihr_core.sources.raw.pickled import need, read_annotation
from hifihr_core.sources.raw.raw_tree import RawFile, Tree

#: Version by the extension of the colour frames.
VERSIONS: Mapping[str, str] = MappingProxyType({".png": "v2", ".jpg": "v3"})
FROM_OPENGL = np.asarray((1.0, -1.0, -1.0))
WIDTH, HEIGHT = 640, 480
#: A segmentation channel is the hand's if it covers at least this fraction of the projected joints.
VOTE = 0.6
GATHER = list(gather_from("ho3d"))
_LINE = re.compile(r"[^/\s.][^/\s]{0,200}/\d{1,20}")


@dataclass(frozen=True)
class Meta:
    """The annotation of one video frame, in our camera frame and joint order.

    `joints`, `pose` and `shape` are None in the evaluation split, where `root` is the wrist; `box` is None in the
    training split.
    """

    K: np.ndarray
    root: np.ndarray
    joints: np.ndarray | None = None
    box: np.ndarray | None = None
    pose: np.ndarray | None = None
    shape: np.ndarray | None = None


def _train_meta(record: Any) -> Meta:
    joints = (need(record, "handJoints3D", (21, 3)) * FROM_OPENGL)[GATHER]
    pose = need(record, "handPose", (48,)).copy()
    # R -> D R with D = diag(1, -1, -1), a half turn about x, maps OpenGL's camera frame to ours.
    pose[:3] = (Rotation.from_matrix(np.diag(FROM_OPENGL)) * Rotation.from_rotvec(pose[:3])).as_rotvec()
    return Meta(
        K=need(record, "camMat", (3, 3)),
        root=joints[ROOT],
        joints=joints,
        pose=pose,
        shape=need(record, "handBeta", (10,)),
    )


def _evaluation_meta(record: Any) -> Meta:
    return Meta(
        K=need(record, "camMat", (3, 3)),
        root=need(record, "handJoints3D", (3,)) * FROM_OPENGL,
        box=need(record, "handBoundingBox", (4,)),
    )


_METAS: Mapping[str, Callable[[Any], Meta]] = {"train": _train_meta, "evaluation": _evaluation_meta}


def vote_on_channels(tree: Tree, frames: Sequence[str]) -> dict[str, float]:
    """Return, per colour channel (OpenCV's order), the fraction of projected joints at which it is above 127.

    Versions of HO-3D and its readers disagree about the colour of the hand in segmentations, so it is determined from
    about 200 training frames. Empty without segmentations.
    """
    hits, total = np.zeros(3), 0
    for frame in (frames[number] for number in checks.probe(len(frames), 200)):
        file, meta = find_segmentation(tree, frame), try_meta(tree, "train", frame)
        if file is None or meta is None or meta.joints is None:
            continue
        colors = pictures.decode(file.read())
        scale = np.asarray((colors.shape[1] / WIDTH, colors.shape[0] / HEIGHT))
        points = np.floor(cutting.project(meta.joints, meta.K) * scale).astype(int)
        inside = points[(points >= 0).all(1) & (points < (colors.shape[1], colors.shape[0])).all(1)]
        hits += (colors[inside[:, 1], inside[:, 0]] > 127).sum(axis=0)
        total += len(points)
    return {str(channel): float(hits[channel] / total) for channel in range(3)} if total else {}


def read_meta(tree: Tree, folder: str, frame: str) -> Meta:
    """Return the annotation of one frame.

    Raises: DataError if it is missing, damaged or incomplete; UnsafePickleError if it contains more than data.
    """
    sequence, _, name = frame.partition("/")
    return _METAS[folder](read_annotation(tree.need(f"{folder}/{sequence}/meta/{name}.pkl")))


def try_meta(tree: Tree, folder: str, frame: str) -> Meta | None:
    """Return the annotation of one frame, or None if it is missing, damaged or incomplete."""
    try:
        return read_meta(tree, folder, frame)
    except DataError:
        return None


def find_segmentation(tree: Tree, frame: str) -> RawFile | None:
    """Return the segmentation of a training frame, with either extension, or None."""
    sequence, _, name = frame.partition("/")
    return next((file for ext in VERSIONS if (file := tree.find(f"train/{sequence}/seg/{name}{ext}"))), None)


def read_list(file: RawFile) -> tuple[str, ...]:
    """Return the frames of a split, "<SEQ>/<FRAME>", in file order. Raises: DataError on a malformed line."""
    lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    bad = next((line for line in lines if not _LINE.fullmatch(line)), None)
    if bad is not None or not lines:
        found = f"line {bad!r:.80}" if lines else "empty"
        raise DataError(f"{file.name}: {found}, expected lines like ABF10/0000; download it again")
    return tuple(lines)


def find_version(tree: Tree, folder: str, frames: Sequence[str]) -> str:
    """Return "v2" or "v3", by the extension of the first picture found among those of about 100 frames.

    Raises: DataError if none is found.
    """
    probed = frames[:: max(1, len(frames) // 100)]
    for frame in probed:
        sequence, _, name = frame.partition("/")
        for extension, version in VERSIONS.items():
            if tree.find(f"{folder}/{sequence}/rgb/{name}{extension}"):
                return version
    sequence, _, name = frames[0].partition("/")
    raise DataError(
        f"{folder}/<SEQ>/rgb: no pictures of the frames in {folder}.txt (frames checked: {len(probed):,}), "
        f"expected files like {folder}/{sequence}/rgb/{name}{' or '.join(VERSIONS)}; download them again"
    )


def count_frames(
    tree: Tree, folder: str, kind: str, extensions: Sequence[str], frames: Sequence[str], *, needed: bool
) -> FileState:
    """Return the report line of one kind of file, with the number of listed frames that have it."""
    sequences = sorted({frame.partition("/")[0] for frame in frames})
    there = {
        f"{sequence}/{Path(name).stem}"
        for sequence in sequences
        for name in tree.names(f"{folder}/{sequence}/{kind}")
        if Path(name).suffix in extensions
    }
    absent = [frame for frame in frames if frame not in there]
    path = f"{folder}/<SEQ>/{kind}"
    if not absent:
        return FileState(path, "present", f"{len(frames):,} of {len(frames):,} frames")
    if not needed:
        return FileState(path, "optional", f"{len(frames) - len(absent):,} of {len(frames):,} frames")
    all_gone = len(absent) == len(frames)
    return FileState(
        path,
        "missing" if all_gone else "broken",
        f"{len(absent):,} of {len(frames):,} frames missing, the first {absent[0]}",
    )
