"""HO-3D v2 and v3 (Hampali et al., CVPR 2020 and 2022): right hands with objects, 640 x 480, as sequences of frames.

Only `train.txt` and `evaluation.txt` define which frames belong to a split: the folders contain more. The annotation of
a frame, called its meta, is in OpenGL's camera frame; (x, -y, -z) converts it to ours. K needs no change, since HO-3D
applies it after the same conversion. Frames are stored as padded crops around the hand, with K adjusted.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.files import write_atomically, write_text
from hifihr_core.outside.json_text import read_json
from hifihr_core.samples import Sample
from hifihr_core.shards import pictures
from hifihr_core.shards.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.shards.split import Split
from hifihr_core.skeleton import ROOT, WRIST
from hifihr_core.sources import checks, cutting, mano_checks
from hifihr_core.sources.contract import FileState, Request, Source, describe_file
from hifihr_core.sources.keypoint_files import Detections, stage_detections
from hifihr_core.sources.marker import MARKER_NAME, Marker, read_marker
from hifihr_core.sources.raw.attempts import attempt
from hifihr_core.sources.raw.ho3d_files import (
    FROM_OPENGL,
    GATHER,
    HEIGHT,
    VERSIONS,
    VOTE,
    WIDTH,
    Meta,
    count_frames,
    find_segmentation,
    find_version,
    read_list,
    read_meta,
    try_meta,
    vote_on_channels,
)
from hifihr_core.sources.raw.json_columns import Column, stage_column
from hifihr_core.sources.raw.raw_tree import RawFile, Tree, find_places
from hifihr_core.sources.raw.rows import Rows, write_rows

LISTS = {"train": "train.txt", "evaluation": "evaluation.txt"}
#: The number of evaluation frames in each version; a submission must have as many.
EVALUATION_FRAMES = {"v2": 11_524, "v3": 20_137}
ANCHORS = (*LISTS.values(), *(f"{folder}/" for folder in LISTS))
LAYOUT = """\
ROOT/train.txt, ROOT/train/<SEQ>/{rgb,meta}/0000.{png|jpg},pkl ..., optionally ROOT/train/<SEQ>/seg/0000.{png|jpg}
ROOT/evaluation.txt, ROOT/evaluation/<SEQ>/{rgb,meta}/..., optionally ROOT/evaluation_{xyz,verts}.json
as folders or zips, at any depth below --root, one version at a time"""
DOWNLOAD = "download HO-3D v2 or v3 from https://github.com/shreyashampali/ho3d (its README has the links)"


@dataclass
class Ho3dSplit(Split):
    """One split of HO-3D. `stage` fills `hand_channel`, `posed`, `faces`, `truth` and `detections`.

    `hand_channel` is the colour channel (OpenCV's order) that marks the hand in segmentations; None without them.
    """

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
    posed: Rows | None = None
    faces: np.ndarray | None = None
    truth: dict[str, Column] = field(default_factory=dict)
    detections: dict[str, Detections] = field(default_factory=dict)

    def stage(self, folder: Path) -> None:
        """Convert annotations to files in `folder`.

        For evaluation these are the published joints and vertices; for training, MANO's vertices and the channel that
        marks the hand in segmentations; for both, detected keypoints.
        """
        if self.folder == "evaluation":
            for name, shape in (("xyz", (21, 3)), ("verts", (778, 3))):
                if file := self.tree.find(f"evaluation_{name}.json"):
                    self.truth[name] = self._stage_truth(file, folder / f"{name}.npy", shape)
        else:
            self.hand_channel = self._stage_vote(folder / "hand_channel.json")
            if self.plan["mano"]:
                self._stage_vertices(folder)
        for sequence in sorted({frame.split("/")[0] for frame in self.frames[: self.count]}):
            if file := self.tree.find(f"openpose/{sequence}/detect.json"):
                self.detections[sequence] = stage_detections(file, folder / f"detect-{sequence}")

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield the crops of frames start..stop-1; an unusable frame becomes a problem."""
        for number in range(start, stop):
            yield attempt(self.frames[number], partial(self._read_frame, number))

    def checks(self) -> Iterator[CheckFacts]:
        """Check the depth of the hands and, if metas contain joints, projection, handedness and MANO's joints.

        For training, also report where masks come from; for evaluation, check the number of frames of real data.
        """
        frames = [self.frames[number] for number in checks.probe(self.count, 200)]
        metas = [meta for frame in frames if (meta := try_meta(self.tree, self.folder, frame))]
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
        meta = read_meta(self.tree, self.folder, frame)
        labels = self._labels(number, meta)
        pixels = self._read_picture(frame)
        height, width = pixels.shape[:2]
        corners = labels["box_px"].reshape(2, 2) if meta.joints is None else labels["joints_px"]
        crop = cutting.crop_around(np.clip(corners, 0, (width, height)), width=width, height=height)
        sequence, _, name = frame.partition("/")
        found = self.detections[sequence].labels(int(name), "") if sequence in self.detections else {}
        surface = labels.get("mano_vertices_cam") if self.folder == "train" else None
        hand_px = None if surface is None else cutting.project(surface, meta.K)
        return Sample(
            key=frame,
            annotation=frame,
            image=pictures.encode_jpeg(crop.cut(pixels)),
            K=crop.shift_K(meta.K).astype(np.float32),
            labels=crop.shift_labels(labels | found),
            mask=self._read_mask(frame, crop, width, height, hand_px),
        )

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
            joints = (self.truth["xyz"][number].astype(np.float64) * FROM_OPENGL)[GATHER]
        posed = self.posed[number] if self.posed is not None else None
        if posed is not None and np.isfinite(posed).all():
            labels["mano_vertices_cam"] = posed
        if "verts" in self.truth and number not in self.truth["verts"].faults:
            labels["mano_vertices_cam"] = self.truth["verts"][number] * FROM_OPENGL
        if joints is not None:
            labels["joints_cam"] = joints
            labels["joints_px"] = cutting.project(joints, meta.K)
            labels["bone_m"] = np.asarray(np.linalg.norm(joints[ROOT] - joints[ROOT + 1]))
        if meta.box is not None:
            labels["box_px"] = meta.box
        if meta.pose is not None and meta.shape is not None and not self.marker.stand_in_vertices:
            labels |= {"global_orient": meta.pose[:3], "pose": meta.pose[3:], "shape": meta.shape}
        return {name: np.asarray(value, np.float32) for name, value in labels.items()}

    def _read_mask(
        self, frame: str, crop: cutting.PixelBox, width: int, height: int, hand_px: np.ndarray | None
    ) -> bytes | None:
        """Return the mask from the segmentation, else from MANO's projected surface, else None."""
        file = find_segmentation(self.tree, frame) if self.hand_channel is not None else None
        if file is not None:
            hand = pictures.decode(file.read())[..., self.hand_channel] > 127
            whole = cv2.resize(hand.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        elif hand_px is not None and self.faces is not None:
            whole = cutting.fill_faces(hand_px, self.faces, width=width, height=height)
        else:
            return None
        return pictures.encode_mask(crop.cut(whole))

    def _stage_vertices(self, folder: Path) -> None:
        """Pose MANO for every frame, so that samples have its vertices and, without segmentations, its outline."""
        vertices, faces = folder / "vertices.npy", folder / "faces.npy"
        if not (vertices.is_file() and faces.is_file()):
            with write_atomically(faces) as part, part.open("wb") as out:
                np.save(out, mano_checks.mano_faces())
            with write_rows(vertices, (778, 3)) as append:
                for start in range(0, self.count, 256):
                    append(pose_frames(self.tree, self.frames[: self.count][start : start + 256]))
        self.posed, self.faces = Rows(vertices), np.load(faces)

    def _stage_truth(self, file: RawFile, target: Path, shape: tuple[int, ...]) -> Column:
        column = stage_column(file, target, shape=shape)
        if len(column) != len(self.frames):
            raise DataError(
                f"{file.name}: {len(column):,} entries, expected {len(self.frames):,}, "
                "the number of lines in evaluation.txt; one of the files may belong to the other version of HO-3D"
            )
        return column

    def _stage_vote(self, target: Path) -> int | None:
        if not target.is_file():
            write_text(target, json.dumps(vote_on_channels(self.tree, self.frames[: self.count])))
        shares = read_json(target, remedy=f"delete {target.parent} and run again")
        best = max(shares, key=lambda channel: shares[channel], default=None)
        return int(best) if best is not None and shares[best] >= VOTE else None

    def _describe_vote(self) -> CheckFacts:
        """Return a check that reports where masks come from, or why there are none."""
        without = "samples have no mask"
        if self.faces is not None:
            without = "masks are MANO's projected surface, including parts behind objects"
        if self.hand_channel is not None:
            color = ("blue", "green", "red")[self.hand_channel]
            return checks.verdict("masks", True, f"the hand is {color} in the segmentations")
        probe = self.frames[: self.count : max(1, self.count // 50)]
        if not any(find_segmentation(self.tree, frame) for frame in probe):
            return checks.skipped("masks", f"no train/<SEQ>/seg in this download; {without}")
        return checks.skipped("masks", f"no colour of the segmentation covers {VOTE:.0%} of the joints; {without}")


def pose_frames(tree: Tree, frames: Sequence[str]) -> np.ndarray:
    """Return MANO's vertices (N, 778, 3) of training frames, camera frame, metres.

    Those of a frame without a usable annotation are NaN.
    """
    vertices = np.full((len(frames), 778, 3), np.nan, np.float32)
    found = [(row, meta) for row, frame in enumerate(frames) if (meta := try_meta(tree, "train", frame))]
    whole = [(row, m.pose, m.shape, m.root) for row, m in found if m.pose is not None and m.shape is not None]
    if whole:
        rows, poses, shapes, roots = (list(column) for column in zip(*whole, strict=True))
        posed, _ = mano_checks.pose_mano(np.stack(poses), np.stack(shapes))
        vertices[rows] = posed + np.stack(roots)[:, None]
    return vertices


def open_ho3d(request: Request) -> Sequence[Split]:
    """Return the splits under `request.root`. Raises: DataError if there are none, or two versions at once."""
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
            raise DataError(f"{root}: found {name} in {names}, expected one version; give its folder with --root")
    tree = Tree(tuple(places))
    return tree, read_marker(tree.find(MARKER_NAME))


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
        crop_scale=2.2,
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
            "mano": folder == "train" and mano_checks.reason_to_skip(stand_in=marker.stand_in_vertices) is None,
        },
    )


def inspect_ho3d(request: Request) -> Sequence[FileState]:
    """List the files of an HO-3D download, and how many frames of each list are present."""
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
                parts.append(count_frames(tree, folder, kind, extensions, frames, needed=needed))
    parts += [
        describe_file(f"evaluation_{name}.json", tree.find(f"evaluation_{name}.json"), needed=False)
        for name in ("xyz", "verts")
    ]
    return parts


HO3D = Source(
    name="ho3d",
    summary="HO-3D v2 or v3: hands with objects, annotated video frames",
    licence="non-commercial",
    download=DOWNLOAD,
    layout=LAYOUT,
    open=open_ho3d,
    inspect=inspect_ho3d,
)
