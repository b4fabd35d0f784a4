"""HO-3D v2 and v3 (Hampali et al., CVPR 2020 and 2022): right hands with objects, 640 x 480, sequences of frames.

Which frames belong to a split is said by `train.txt` and `evaluation.txt` alone: the folders hold more. Metas are in
OpenGL's camera frame; (x, -y, -z) brings them into ours, and K, which HO-3D applies after that flip, needs no change.
Frames are stored as padded crops around the hand, K moved with them.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from hifihr_core.data import checks, mano_checks, pictures
from hifihr_core.data.columns import Column, stage_column
from hifihr_core.data.keypoints import Detections, stage_detections
from hifihr_core.data.raw import RawFile, Tree, find_places
from hifihr_core.data.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.data.sources.base import Part, Request, Source, Split, describe_file
from hifihr_core.data.sources.marker import MARKER_NAME, Marker, parse_marker
from hifihr_core.data.sources.pickled import need, read_annotation
from hifihr_core.errors import DataError
from hifihr_core.files import read_text, write_text
from hifihr_core.samples import Sample
from hifihr_core.skeleton import ROOT, WRIST, gather_from

LISTS = {"train": "train.txt", "evaluation": "evaluation.txt"}
#: The extension of the colour frames tells the version.
VERSIONS = {".png": "v2", ".jpg": "v3"}
#: The benchmark's numbers of evaluation frames; a submission must have as many.
EVALUATION_FRAMES = {"v2": 11_524, "v3": 20_137}
FROM_OPENGL = np.asarray((1.0, -1.0, -1.0))
WIDTH, HEIGHT = 640, 480
#: A segmentation channel is the hand's where at least this share of the projected joints lies on it.
VOTE = 0.6
_LINE = re.compile(r"[^/\s]+/\d+")
_GATHER = list(gather_from("ho3d"))
ANCHORS = (*LISTS.values(), *(f"{folder}/" for folder in LISTS))
LAYOUT = """\
ROOT/train.txt, ROOT/train/<SEQ>/{rgb,meta}/0000.{png|jpg},pkl ..., optionally ROOT/train/<SEQ>/seg/0000.{png|jpg}
ROOT/evaluation.txt, ROOT/evaluation/<SEQ>/{rgb,meta}/..., optionally ROOT/evaluation_{xyz,verts}.json
as folders or zips, at any depth below --root, one version at a time"""
DOWNLOAD = "download HO-3D v2 or v3 from https://github.com/shreyashampali/ho3d (its README links the files)"


@dataclass(frozen=True)
class Meta:
    """The annotation of one frame in our frame and joint order. `joints` is None in the evaluation split."""

    K: np.ndarray
    root: np.ndarray
    joints: np.ndarray | None = None
    box: np.ndarray | None = None
    pose: np.ndarray | None = None
    shape: np.ndarray | None = None


@dataclass
class Ho3dSplit(Split):
    """One split of HO-3D; `hand_channel` (OpenCV's order) is known once `stage` has run, None without masks."""

    tree: Tree
    folder: str
    version: str
    marker: Marker
    facts: DatasetFacts
    frames: tuple[str, ...]
    count: int
    plan: Mapping[str, Any]
    bytes_each: int = 60_000
    hand_channel: int | None = None
    truth: dict[str, Column] = field(default_factory=dict)
    detections: dict[str, Detections] = field(default_factory=dict)

    def stage(self, folder: Path) -> None:
        """Read the published ground truth of the evaluation, vote on the hand's colour, parse detections."""
        if self.folder == "evaluation":
            for name, shape in (("xyz", (21, 3)), ("verts", (778, 3))):
                if file := self.tree.find(f"evaluation_{name}.json"):
                    self.truth[name] = self._stage_truth(file, folder / f"{name}.npy", shape)
        else:
            self.hand_channel = self._stage_vote(folder / "hand_channel.json")
        for sequence in sorted({frame.split("/")[0] for frame in self.frames[: self.count]}):
            if file := self.tree.find(f"openpose/{sequence}/detect.json"):
                self.detections[sequence] = stage_detections(file, folder / f"detect-{sequence}")

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield the crops of frames start..stop-1; a frame that cannot be used is a problem."""
        for number in range(start, stop):
            try:
                yield self._read_frame(number)
            except DataError as error:
                yield Problem(key=self.frames[number], reason=str(error))

    def checks(self) -> Iterator[CheckFacts]:
        """Projection, depth, handedness, the colour of the masks, and the number of evaluation frames."""
        metas = [meta for number in checks.probe(self.count, 200) if (meta := self._try_meta(int(number)))]
        joints = [(meta.joints, meta.K) for meta in metas if meta.joints is not None]
        if joints:
            joints_cam, K = np.stack([j for j, _ in joints]), np.stack([k for _, k in joints])
            yield checks.reprojection(joints_cam, K, width=WIDTH, height=HEIGHT, least=0.9)
            yield checks.in_front(joints_cam)
            yield checks.right_handed(joints_cam)
            posed = [(meta.pose, meta.shape) for meta in metas if meta.pose is not None and meta.shape is not None]
            pose, shape = np.stack([p for p, _ in posed]), np.stack([s for _, s in posed])
            yield mano_checks.posed_joints(pose, shape, joints_cam, stand_in=self.marker.stand_in_vertices)
        elif metas:
            roots = np.stack([meta.root for meta in metas])
            yield checks.in_front(np.repeat(roots[:, None], 21, axis=1))
        if self.folder == "train":
            yield self._describe_vote()
        elif not self.marker.synthetic:
            yield checks.count("frames", len(self.frames), [EVALUATION_FRAMES[self.version]])

    def _read_frame(self, number: int) -> Sample:
        frame = self.frames[number]
        meta = self._read_meta(frame)
        labels = self._labels(number, meta)
        pixels = self._read_picture(frame)
        height, width = pixels.shape[:2]
        corners = labels["box_px"].reshape(2, 2) if meta.joints is None else labels["joints_px"]
        crop = pictures.crop_around(np.clip(corners, 0, (width, height)), width=width, height=height)
        sequence, _, name = frame.partition("/")
        found = self.detections[sequence].labels(int(name), "") if sequence in self.detections else {}
        return Sample(
            key=frame,
            annotation=frame,
            image=pictures.encode_jpeg(crop.cut(pixels)),
            K=crop.shift_K(meta.K).astype(np.float32),
            labels=crop.shift_labels(labels | found),
            mask=self._read_mask(frame, crop, width, height),
        )

    def _read_meta(self, frame: str) -> Meta:
        sequence, _, name = frame.partition("/")
        record = read_annotation(self.tree.need(f"{self.folder}/{sequence}/meta/{name}.pkl"))
        return _METAS[self.folder](record)

    def _try_meta(self, number: int) -> Meta | None:
        try:
            return self._read_meta(self.frames[number])
        except DataError:
            return None

    def _read_picture(self, frame: str) -> np.ndarray:
        sequence, _, name = frame.partition("/")
        path = f"{self.folder}/{sequence}/rgb/{name}"
        extension = next(ext for ext, version in VERSIONS.items() if version == self.version)
        content = self.tree.need(path + extension).read()
        if extension == ".jpg":
            pictures.jpeg_size(content)
        return pictures.decode(content)

    def _labels(self, number: int, meta: Meta) -> dict[str, np.ndarray]:
        labels: dict[str, np.ndarray] = {"root_cam": meta.root}
        joints = meta.joints
        if "xyz" in self.truth and number not in self.truth["xyz"].faults:
            joints = (self.truth["xyz"][number].astype(np.float64) * FROM_OPENGL)[_GATHER]
        if "verts" in self.truth and number not in self.truth["verts"].faults:
            labels["mano_vertices_cam"] = self.truth["verts"][number] * FROM_OPENGL
        if joints is not None:
            labels["joints_cam"] = joints
            labels["joints_px"] = pictures.project(joints, meta.K)
            labels["bone_m"] = np.asarray(np.linalg.norm(joints[ROOT] - joints[ROOT + 1]))
        if meta.box is not None:
            labels["box_px"] = meta.box
        if meta.pose is not None and meta.shape is not None and not self.marker.stand_in_vertices:
            labels |= {"global_orient": meta.pose[:3], "pose": meta.pose[3:], "shape": meta.shape}
        return {name: np.asarray(value, np.float32) for name, value in labels.items()}

    def _read_mask(self, frame: str, crop: pictures.Crop, width: int, height: int) -> bytes | None:
        if self.hand_channel is None:
            return None
        file = find_segmentation(self.tree, frame)
        if file is None:
            return None
        hand = pictures.decode(file.read())[..., self.hand_channel] > 127
        whole = cv2.resize(hand.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        return pictures.encode_mask(crop.cut(whole))

    def _stage_truth(self, file: RawFile, target: Path, shape: tuple[int, ...]) -> Column:
        column = stage_column(file, target, shape=shape)
        if len(column) != len(self.frames):
            raise DataError(
                f"{file.name}: {len(column):,} entries, expected {len(self.frames):,}, as many as evaluation.txt has "
                "lines; it may be of the other version"
            )
        return column

    def _stage_vote(self, target: Path) -> int | None:
        if not target.is_file():
            write_text(target, json.dumps(vote_on_channels(self)))
        shares = json.loads(read_text(target))
        best = max(shares, key=lambda channel: shares[channel], default=None)
        return int(best) if best is not None and shares[best] >= VOTE else None

    def _describe_vote(self) -> CheckFacts:
        if not any(
            find_segmentation(self.tree, frame) for frame in self.frames[: self.count : max(1, self.count // 50)]
        ):
            return checks.skipped("masks", "no train/<SEQ>/seg in this download; samples have no mask")
        if self.hand_channel is None:
            detail = f"in no colour of the segmentation do {VOTE:.0%} of the joints lie; samples have no mask"
            return checks.skipped("masks", detail)
        return checks.verdict("masks", True, f"the hand is {('blue', 'green', 'red')[self.hand_channel]}")


def find_segmentation(tree: Tree, frame: str) -> RawFile | None:
    """Return the segmentation of a training frame, under either extension, or None."""
    sequence, _, name = frame.partition("/")
    return next((file for ext in VERSIONS if (file := tree.find(f"train/{sequence}/seg/{name}{ext}"))), None)


def vote_on_channels(split: Ho3dSplit) -> dict[str, float]:
    """Return, per colour channel (OpenCV's order), the share of projected joints that lie where it is full.

    Versions and readers disagree on the hand's colour, so some 200 frames are asked. Empty without segmentations.
    """
    hits, total = np.zeros(3), 0
    for number in checks.probe(split.count, 200):
        frame = split.frames[number]
        file, meta = find_segmentation(split.tree, frame), split._try_meta(int(number))
        if file is None or meta is None or meta.joints is None:
            continue
        colors = pictures.decode(file.read())
        scale = np.asarray((colors.shape[1] / WIDTH, colors.shape[0] / HEIGHT))
        points = np.floor(pictures.project(meta.joints, meta.K) * scale).astype(int)
        inside = points[(points >= 0).all(1) & (points < (colors.shape[1], colors.shape[0])).all(1)]
        hits += (colors[inside[:, 1], inside[:, 0]] > 127).sum(axis=0)
        total += len(points)
    return {str(channel): float(hits[channel] / total) for channel in range(3)} if total else {}


def _train_meta(record: Any) -> Meta:
    joints = (need(record, "handJoints3D", (21, 3)) * FROM_OPENGL)[_GATHER]
    pose = need(record, "handPose", (48,)).copy()
    # R -> D R with D = diag(1, -1, -1), a half turn about x, turns the hand from OpenGL's camera into ours.
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


_METAS = {"train": _train_meta, "evaluation": _evaluation_meta}


def read_list(file: RawFile) -> tuple[str, ...]:
    """Return the frames of a split, "<SEQ>/<FRAME>", in file order. Raises: DataError on a line of another form."""
    lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    bad = next((line for line in lines if not _LINE.fullmatch(line)), None)
    if bad is not None or not lines:
        raise DataError(f"{file.name}: {'line ' + repr(bad) if lines else 'empty'}, expected lines like ABF10/0000")
    return tuple(lines)


def open_ho3d(request: Request) -> Sequence[Split]:
    """Return the splits under `request.root`. Raises: DataError if there is none, or two versions at once."""
    tree, marker = _open_tree(request.root)
    present = [folder for folder, name in LISTS.items() if tree.find(name)]
    if not present:
        raise DataError(f"{request.root}: no HO-3D found, expected train.txt or evaluation.txt; {DOWNLOAD}")
    return [_open_split(tree, folder, marker, request.limit) for folder in present]


def _open_tree(root: Path) -> tuple[Tree, Marker]:
    places = find_places(root, ANCHORS)
    for name in LISTS.values():
        roots = [place for place in places if place.find(name)]
        if len(roots) > 1:
            names = " and ".join(place.name for place in roots)
            raise DataError(f"{root}: {name} in {names}, expected one version; give its folder with --root")
    tree = Tree(tuple(places))
    file = tree.find(MARKER_NAME)
    return tree, parse_marker(file.read() if file else None)


def _open_split(tree: Tree, folder: str, marker: Marker, limit: int | None) -> Ho3dSplit:
    file = tree.need(LISTS[folder])
    frames = read_list(file)
    version = find_version(tree, folder, frames)
    truth = {name: f.size for name in ("xyz", "verts") if (f := tree.find(f"evaluation_{name}.json"))}
    facts = DatasetFacts(
        dataset="ho3d",
        split=folder,
        version=version,
        licence="non-commercial",
        joint_definition="ho3d",
        root_joint=ROOT if folder == "train" else WRIST,
        hand=None if marker.stand_in_vertices else "mano",
        pose_zero=None if marker.stand_in_vertices else "flat",
        synthetic=marker.synthetic,
        mano_stand_in=marker.stand_in_vertices,
        provenance=f"HO-3D {version}, TU Graz; Hampali et al., HOnnotate",
    )
    return Ho3dSplit(
        tree=tree,
        folder=folder,
        version=version,
        marker=marker,
        facts=facts,
        frames=frames,
        count=min(len(frames), limit) if limit else len(frames),
        plan={
            "frames": len(frames),
            "list_bytes": file.size,
            "limit": limit,
            "truth": truth if folder != "train" else {},
        },
    )


def find_version(tree: Tree, folder: str, frames: Sequence[str]) -> str:
    """Return "v2" or "v3" by the extension of the first frame that is there. Raises: DataError if none is."""
    for frame in frames[:: max(1, len(frames) // 100)]:
        sequence, _, name = frame.partition("/")
        for extension, version in VERSIONS.items():
            if tree.find(f"{folder}/{sequence}/rgb/{name}{extension}"):
                return version
    raise DataError(f"{folder}/{frames[0].split('/')[0]}/rgb: no frame of the list is there; {DOWNLOAD}")


def inspect_ho3d(request: Request) -> Sequence[Part]:
    """List what an HO-3D download needs, and how many frames of each list are there."""
    tree, _ = _open_tree(request.root)
    parts = []
    for folder, name in LISTS.items():
        file = tree.find(name)
        parts.append(describe_file(name, file, needed=False))
        if file is None:
            continue
        frames = read_list(file)
        for kind, extensions in (("rgb", tuple(VERSIONS)), ("meta", (".pkl",)), ("seg", tuple(VERSIONS))):
            needed = kind != "seg"
            if needed or folder == "train":
                parts.append(_count_frames(tree, folder, kind, extensions, frames, needed=needed))
    parts += [
        describe_file(f"evaluation_{name}.json", tree.find(f"evaluation_{name}.json"), needed=False)
        for name in ("xyz", "verts")
    ]
    return parts


def _count_frames(
    tree: Tree, folder: str, kind: str, extensions: Sequence[str], frames: Sequence[str], *, needed: bool
) -> Part:
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
        return Part(path, "present", f"all {len(frames):,} frames")
    if not needed:
        return Part(path, "optional", f"{len(frames) - len(absent):,} of {len(frames):,} frames")
    all_gone = len(absent) == len(frames)
    return Part(
        path,
        "missing" if all_gone else "broken",
        f"{len(absent):,} of {len(frames):,} frames missing, the first {absent[0]}",
    )


HO3D = Source(
    name="ho3d",
    summary="HO-3D v2 or v3: hands with objects, annotated frames of video",
    licence="non-commercial",
    download=DOWNLOAD,
    layout=LAYOUT,
    open=open_ho3d,
    inspect=inspect_ho3d,
)
