"""FreiHAND v2 (Zimmermann et al., ICCV 2019): 32,560 annotated poses with four backgrounds each, and 3,960 for
evaluation.

Entry i of the annotation lists belongs to the pictures i, i + N, i + 2N and i + 3N, N being the length of the lists.
The JPEGs are packed unchanged. Joints and K are used unchanged, since their frames are the same as ours.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.outside.json_lists import iterate_entries
from hifihr_core.samples import Sample
from hifihr_core.shards import pictures
from hifihr_core.shards.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.shards.split import Split
from hifihr_core.sources import checks, cutting, mano_checks
from hifihr_core.sources.contract import FileState, Request, Source, describe_file, describe_folder
from hifihr_core.sources.keypoint_files import Detections, stage_detections
from hifihr_core.sources.marker import MARKER_NAME, Marker, read_marker
from hifihr_core.sources.raw.json_columns import Column, stage_column
from hifihr_core.sources.raw.raw_tree import RawFile, Tree, find_places

VERSIONS = ("gs", "hom", "sample", "auto")
OFFICIAL_POSES = {"training": 32_560, "evaluation": 3_960}
IMAGE_PX = 224

#: Annotation list -> numbers per entry.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "K": (3, 3),
    "scale": (),
    "xyz": (21, 3),
    "verts": (778, 3),
    "mano": (61,),
}
#: Lists that every sample needs; the others are labels that may be absent (the evaluation zip was separate).
NEEDED = {"training": ("K", "scale", "xyz", "verts", "mano"), "evaluation": ("K", "scale")}
#: Files in which HiFiHR and S2HAND store OpenPose's keypoints.
DETECTIONS = {
    "training": ("outputs/freihand-train_openpose_keypoints.json", "openpose/training/detect.json"),
    "evaluation": ("openpose/evaluation/detect.json",),
}
ANCHORS = tuple(f"{folder}_{name}.json" for folder in OFFICIAL_POSES for name in SHAPES)
LAYOUT = """\
ROOT/training_{K,mano,scale,verts,xyz}.json, ROOT/training/rgb/00000000.jpg ..., ROOT/training/mask/00000000.jpg ...
ROOT/evaluation_{K,scale}.json, ROOT/evaluation/rgb/00000000.jpg ...
ROOT/evaluation_{mano,verts,xyz}.json, ROOT/evaluation/segmap/00000000.png ...  (from FreiHAND_pub_v2_eval.zip)
as folders or as the two zips, at any depth below --root"""
DOWNLOAD = (
    "download FreiHAND_pub_v2.zip and FreiHAND_pub_v2_eval.zip from "
    "https://lmb.informatik.uni-freiburg.de/resources/datasets/FreihandDataset.en.html"
)


@dataclass
class FreihandSplit(Split):
    """One split of FreiHAND; `stage` fills `columns` and `detections`, which are then read from disk."""

    tree: Tree
    folder: str
    marker: Marker
    facts: DatasetFacts
    count: int
    total: int
    versions: int
    plan: Mapping[str, Any]
    bytes_each: int
    columns: dict[str, Column] = field(default_factory=dict)
    detections: Detections | None = None

    def stage(self, folder: Path) -> None:
        """Convert the JSON lists to arrays on disk. Raises: DataError if a length is not that of the split."""
        for name, shape in SHAPES.items():
            file = self.tree.find(f"{self.folder}_{name}.json")
            if file is None:
                continue
            column = stage_column(file, folder / f"{name}.npy", shape=shape)
            if len(column) != self.total:
                raise DataError(
                    f"{file.name}: {len(column):,} entries, expected {self.total:,}; "
                    "the download is incomplete or another version; download it again"
                )
            self.columns[name] = column
        found = find_detections(self.tree, self.folder)
        if found:
            self.detections = stage_detections(
                found, folder / "detections", rows=(self.total, self.total * len(VERSIONS))
            )

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield the pictures of poses start..stop-1."""
        for pose in range(start, stop):
            yield from self._read_pose(pose)

    def checks(self) -> Iterator[CheckFacts]:
        """Check principal points and, for splits with joints, reprojection, scale and handedness.

        For splits with joints and vertices, also check that MANO's regressor gives the joints.
        """
        columns, count = {name: column.values[: self.count] for name, column in self.columns.items()}, self.count
        yield checks.principal_points(columns["K"], IMAGE_PX)
        if "xyz" in columns:
            yield checks.reprojection(columns["xyz"], columns["K"], width=IMAGE_PX, height=IMAGE_PX)
            yield checks.bone_lengths(columns["xyz"], columns["scale"])
            yield checks.right_handed(columns["xyz"])
        if {"xyz", "verts"} <= columns.keys():
            probe = checks.probe(count, 500)
            vertices, joints = columns["verts"][probe], columns["xyz"][probe]
            yield mano_checks.regressed_joints(vertices, joints, stand_in=self.marker.stand_in_vertices)

    def _read_pose(self, pose: int) -> Iterator[Sample | Problem]:
        fault = next((f"{name}: {c.faults[pose]}" for name, c in self.columns.items() if pose in c.faults), None)
        annotation = f"{pose:08d}"
        if fault:
            yield Problem(key=annotation, reason=fault)
            return
        labels = self._labels(pose)
        K = self.columns["K"][pose]
        try:
            mask = _MASKS[self.folder](self.tree, annotation)
        except DataError as error:
            yield Problem(key=annotation, reason=f"mask: {error}")
            return
        for version in range(self.versions):
            number = pose + version * self.total
            key = f"{VERSIONS[version]}/{number:08d}"
            try:
                image = read_jpeg(self.tree, f"{self.folder}/rgb/{number:08d}.jpg")
            except DataError as error:
                yield Problem(key=key, reason=str(error))
                continue
            found = self.detections.labels(number, f"{number:08d}.jpg") if self.detections else {}
            yield Sample(key=key, annotation=annotation, image=image, K=K, labels=labels | found, mask=mask)

    def _labels(self, pose: int) -> dict[str, np.ndarray]:
        labels = {"bone_m": self.columns["scale"][pose]}
        if "xyz" in self.columns:
            joints = self.columns["xyz"][pose]
            labels["joints_cam"] = joints
            labels["joints_px"] = cutting.project(joints, self.columns["K"][pose])
            labels["root_cam"] = joints[9]
        if "verts" in self.columns:
            labels["mano_vertices_cam"] = self.columns["verts"][pose]
        if "mano" in self.columns and not self.marker.stand_in_vertices:
            numbers = self.columns["mano"][pose]
            labels |= {"global_orient": numbers[:3], "pose": numbers[3:48], "shape": numbers[48:58]}
        return labels


def read_jpeg(tree: Tree, path: str) -> bytes:
    """Return the unchanged bytes of a JPEG of 224 x 224 pixels.

    Raises: DataError if it is missing, truncated or of another size.
    """
    content = tree.need(path).read()
    try:
        size = pictures.jpeg_size(content)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if size != (IMAGE_PX, IMAGE_PX):
        raise DataError(f"{path}: {size[0]} x {size[1]} pixels, expected {IMAGE_PX} x {IMAGE_PX}")
    return content


def _training_mask(tree: Tree, name: str) -> bytes:
    """Return the mask of a training pose, thresholded at 127 because its JPEG compression blurs it."""
    content = tree.need(f"training/mask/{name}.jpg").read()
    pictures.jpeg_size(content)
    return pictures.encode_mask(pictures.decode(content, flags=cv2.IMREAD_GRAYSCALE) > 127)


def _evaluation_mask(tree: Tree, name: str) -> bytes | None:
    """Return the mask of an evaluation pose: the non-background pixels of its map of hand parts; None without one."""
    file = tree.find(f"evaluation/segmap/{name}.png")
    if file is None:
        return None
    parts = pictures.decode(file.read(), flags=cv2.IMREAD_UNCHANGED)
    return pictures.encode_mask(parts.reshape(*parts.shape[:2], -1)[..., :3].max(axis=-1) > 0)


_MASKS: Mapping[str, Callable[[Tree, str], bytes | None]] = {"training": _training_mask, "evaluation": _evaluation_mask}


def find_detections(tree: Tree, folder: str) -> RawFile | None:
    """Return a split's file of detected keypoints, or None."""
    return next((file for path in DETECTIONS[folder] if (file := tree.find(path))), None)


def open_freihand(request: Request) -> Sequence[Split]:
    """Return the splits under `request.root`. Raises: DataError if there are none or one is incomplete."""
    tree = Tree(tuple(find_places(request.root, ANCHORS)))
    marker = read_marker(tree.find(MARKER_NAME))
    present = [folder for folder in OFFICIAL_POSES if tree.find(f"{folder}_K.json")]
    if not present:
        raise DataError(f"{request.root}: no FreiHAND v2 found, expected training_K.json; {DOWNLOAD}")
    return [_open_split(tree, folder, marker, request.limit) for folder in present]


def _open_split(tree: Tree, folder: str, marker: Marker, limit: int | None) -> FreihandSplit:
    files = {name: tree.find(f"{folder}_{name}.json") for name in SHAPES}
    missing = [f"{folder}_{name}.json" for name in NEEDED[folder] if files[name] is None]
    if missing:
        raise DataError(f"{', '.join(missing)}: missing beside {folder}_K.json; {DOWNLOAD}")
    names = tree.names(f"{folder}/rgb")
    versions = len(VERSIONS) if folder == "training" else 1
    total = _count_entries(tree.need(f"{folder}_scale.json")) if marker.synthetic else OFFICIAL_POSES[folder]
    if not names:
        raise DataError(f"{folder}/rgb: no pictures, expected {total * versions:,}; {DOWNLOAD}")
    count = min(total, limit) if limit else total
    sizes = {f"{folder}_{name}.json": file.size for name, file in files.items() if file}
    detections = find_detections(tree, folder)
    if detections:
        sizes["detections"] = detections.size
    facts = DatasetFacts(
        dataset="freihand",
        split={"training": "train", "evaluation": "evaluation"}[folder],
        version="v2",
        licence="non-commercial",
        joint_definition="freihand",
        hand=None if marker.stand_in_vertices else "mano",
        pose_zero=None if marker.stand_in_vertices else "mean",
        synthetic=marker.synthetic,
        mano_stand_in=marker.stand_in_vertices,
        provenance="FreiHAND v2, University of Freiburg; Zimmermann et al., ICCV 2019",
        crop_scale=None,
    )
    return FreihandSplit(
        tree=tree,
        folder=folder,
        marker=marker,
        facts=facts,
        count=count,
        total=total,
        versions=versions,
        plan={"files": sizes, "pictures": len(names), "limit": limit},
        bytes_each=11_000 + versions * 11_000,
    )


def _count_entries(file: RawFile) -> int:
    """Return the number of entries in a JSON list of a generated dataset.

    Raises: DataError if the file is anything else.
    """
    with file.open() as stream:
        return sum(1 for _ in iterate_entries(stream, file.name, remedy="generate the dataset again"))


def inspect_freihand(request: Request) -> Sequence[FileState]:
    """List the files of a FreiHAND download, and their state."""
    tree = Tree(tuple(find_places(request.root, ANCHORS)))
    synthetic = read_marker(tree.find(MARKER_NAME)).synthetic
    parts = []
    for folder, poses in OFFICIAL_POSES.items():
        for name in SHAPES:
            path = f"{folder}_{name}.json"
            file = tree.find(path)
            parts.append(describe_file(path, file, needed=name in NEEDED[folder]))
        versions = len(VERSIONS) if folder == "training" else 1
        parts.append(describe_folder(tree, f"{folder}/rgb", None if synthetic else poses * versions))
        mask = "training/mask" if folder == "training" else "evaluation/segmap"
        parts.append(describe_folder(tree, mask, None if synthetic else poses, needed=folder == "training"))
        found = find_detections(tree, folder)
        parts.append(FileState(DETECTIONS[folder][0], "present" if found else "optional"))
    return parts


FREIHAND = Source(
    name="freihand",
    summary="FreiHAND v2: 130,240 training and 3,960 evaluation photos with MANO fits",
    licence="non-commercial",
    download=DOWNLOAD,
    layout=LAYOUT,
    open=open_freihand,
    inspect=inspect_freihand,
)
