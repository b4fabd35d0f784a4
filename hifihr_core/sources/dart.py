"""DART (Gao et al., NeurIPS 2022): 800,000 rendered right hands with textures and accessories, 512 x 512.

Its camera is orthographic, so pictures contain no information about distance. For each sample, u = s x + tx and
v = s y + ty are fitted to the annotated joints, with s in pixels per metre. The hand is then placed in front of a
pinhole camera with f = s * distance and the root at z = distance, so far away (`DISTANCE_M`) that perspective moves
points by less than a quarter of a pixel. So `root_px` and `scale_px_per_m` are exact, but the distance is arbitrary,
and `camera` in the index says "orthographic".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from hifihr_core.errors import DataError
from hifihr_core.files import write_text
from hifihr_core.outside.whole_files import read_text
from hifihr_core.samples import Sample
from hifihr_core.shards import pictures
from hifihr_core.shards.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.shards.split import Split
from hifihr_core.skeleton import ROOT, gather_from
from hifihr_core.sources import checks
from hifihr_core.sources.contract import FileState, Request, Source, describe_folder
from hifihr_core.sources.marker import MARKER_NAME, Marker, read_marker
from hifihr_core.sources.raw.attempts import attempt
from hifihr_core.sources.raw.pickled import floats, read_annotation, shape_of
from hifihr_core.sources.raw.raw_tree import Place, RawFile, Tree, find_places
from hifihr_core.sources.raw.rows import Rows, write_rows

DISTANCE_M = 100.0
ANNOTATED_PX = 512
FROM_UNITY = np.asarray((1.0, -1.0, -1.0))
INDEX_MCP = 5
MANO_VERTICES = 778
_MOST_NUMBERS = 100_000
SPLITS = {"train": "train", "test": "evaluation"}
ANCHORS = ("part_*.pkl", "[0-9]/", "[0-9][0-9]/", "*_wbg/", "*_verts/")
SHAPES = {"pose": (16, 3), "joint3d": (21, 3), "joint2d": (21, 2)}
_GATHER = list(gather_from("dart"))
_PART = re.compile(r"part_(\d+)\.pkl")
LAYOUT = """\
ROOT/{train,test}/part_0.pkl, ROOT/{train,test}/0/*.png, ROOT/{train,test}/0_wbg/*.png, ROOT/{train,test}/0_verts/*.pkl
and likewise for every part; as folders or zips, at any depth below --root (0_wbg and 0_verts are optional)"""
DOWNLOAD = "download DARTset from https://huggingface.co/datasets/Yuliang/DART and keep its train and test folders"


@dataclass(frozen=True)
class DartPart:
    """One of the numbered parts of DART: its number, and the tree that contains its files."""

    tree: Tree
    number: int

    @property
    def file(self) -> RawFile:
        """Return the annotation file of the part. Raises: DataError if it is missing."""
        return self.tree.need(f"part_{self.number}.pkl")


@dataclass
class DartSplit(Split):
    """One split of DART, with its parts in the order of their numbers."""

    parts: tuple[DartPart, ...]
    facts: DatasetFacts
    marker: Marker
    plan: Mapping[str, Any]
    limit: int | None
    count: int
    bytes_each: int = 60_000
    rows: list[tuple[Rows, list[str]]] = field(default_factory=list)
    starts: tuple[int, ...] = (0,)

    def stage(self, folder: Path) -> None:
        """Convert each part's pickle to an array on disk and a list of file names."""
        self.rows = [_stage_part(part, folder / f"part-{n}") for n, part in enumerate(self.parts)]
        self.starts = (0, *np.cumsum([len(names) for _, names in self.rows]).tolist())

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield samples start..stop-1."""
        for position in range(start, stop):
            number = int(np.searchsorted(self.starts, position, side="right")) - 1
            values, names = self.rows[number]
            row = position - self.starts[number]
            key = f"{self.parts[number].number}/{Path(names[row]).stem}"
            yield attempt(key, partial(self._read, self.parts[number], key, values[row], names[row]))

    def checks(self) -> Iterator[CheckFacts]:
        """Check that an orthographic camera explains the 2D joints, and that the hands are right hands."""
        rows = np.concatenate([values.mapped()[checks.probe(len(values), 200)] for values, _ in self.rows])
        rows = rows[np.isfinite(rows).all(axis=1)]
        found = [_unpack(row) for row in rows]
        errors = [fit_orthographic(joints, points)[2] for _, joints, points in found]
        worst = float(np.median(errors)) if errors else 0.0
        yield checks.verdict("orthographic camera", worst < 1, f"median residual {worst:.3f} px, limit 1 px")
        yield checks.right_handed(np.stack([joints for _, joints, _ in found]) if found else np.zeros((0, 21, 3)))

    def _read(self, part: DartPart, key: str, row: np.ndarray, name: str) -> Sample:
        if not np.isfinite(row).all():
            raise DataError("the annotation has the wrong shape or is not finite")
        pose, joints, points = _unpack(row)
        pixels, mask = read_picture(part, name)
        width = pixels.shape[1]
        factor = width / ANNOTATED_PX
        scale, shift, _ = fit_orthographic(joints, points)
        K, placed = place_far(joints, scale * factor, shift * factor, width=width, height=pixels.shape[0])
        labels = {
            "joints_cam": placed,
            "joints_px": points * factor,
            "root_cam": placed[ROOT],
            "bone_m": np.linalg.norm(joints[ROOT] - joints[ROOT + 1]),
        }
        if not self.marker.stand_in_vertices:
            labels |= {"global_orient": _turn(pose[0]), "pose": pose[1:].reshape(45), "shape": np.zeros(10)}
        vertices = read_vertices(part, name)
        if vertices is not None:
            labels["mano_vertices_cam"] = vertices + placed[INDEX_MCP]
        return Sample(
            key=key,
            annotation=key,
            image=pictures.encode_jpeg(pixels),
            K=K.astype(np.float32),
            labels={label: np.asarray(value, np.float32) for label, value in labels.items()},
            mask=None if mask is None else pictures.encode_mask(mask),
        )


def fit_orthographic(joints: np.ndarray, points_px: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Return (scale, shift, residual) of the least-squares fit ``points = scale * joints[:, :2] + shift``.

    `scale` is in pixels per metre, `shift` in pixels; `residual` is the root mean square distance, pixels.
    """
    flat, mean, mean_px = joints[:, :2], joints[:, :2].mean(axis=0), points_px.mean(axis=0)
    scale = float(((flat - mean) * (points_px - mean_px)).sum() / np.square(flat - mean).sum())
    shift = mean_px - scale * mean
    residual = scale * flat + shift - points_px
    return scale, shift, float(np.sqrt(np.square(residual).sum(axis=1).mean()))


def place_far(
    joints: np.ndarray, scale_px_per_m: float, shift_px: np.ndarray, *, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (K, joints_cam) of the distant pinhole camera that is equivalent to the orthographic one.

    The root is at z = `DISTANCE_M` on the ray through its orthographic pixel; other joints keep their offsets from it.
    At 100 m, float32 resolves 8 micrometres. Raises: DataError if the scale is not positive.
    """
    if not scale_px_per_m > 0:
        raise DataError(f"the fitted camera has scale {scale_px_per_m:.3g} px/m, expected a positive one")
    focal = scale_px_per_m * DISTANCE_M
    centre = np.asarray((width / 2, height / 2))
    K = np.asarray([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    root_px = scale_px_per_m * joints[ROOT, :2] + shift_px
    root = np.append((root_px - centre) / scale_px_per_m, DISTANCE_M)
    return K, joints - joints[ROOT] + root


def read_picture(part: DartPart, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (BGR, mask): the picture with background if it exists, else the hand without background (RGBA) on grey.

    The mask is where alpha is at least one half, at the size of the picture; None without an RGBA picture.
    Raises: DataError if there is neither picture.
    """
    cut_out = part.tree.find(f"{part.number}/{name}")
    rgba = pictures.decode(cut_out.read(), flags=cv2.IMREAD_UNCHANGED) if cut_out else None
    with_background = part.tree.find(f"{part.number}_wbg/{name}")
    if with_background:
        pixels = pictures.decode(with_background.read())
    elif rgba is not None and rgba.shape[-1] == 4:
        alpha = rgba[..., 3:].astype(np.float32) / 255
        pixels = (rgba[..., :3] * alpha + 127 * (1 - alpha)).round().astype(np.uint8)
    else:
        raise DataError(f"{part.number}_wbg/{name}: missing, and there is no RGBA picture in {part.number}/ either")
    if rgba is None or rgba.shape[-1] != 4:
        return pixels, None
    opaque = (rgba[..., 3] >= 128).astype(np.uint8)
    size = (pixels.shape[1], pixels.shape[0])
    return pixels, cv2.resize(opaque, size, interpolation=cv2.INTER_NEAREST) > 0


def read_vertices(part: DartPart, name: str) -> np.ndarray | None:
    """Return MANO's vertices (778, 3) relative to the index MCP in our axes, metres, or None without their file.

    Raises: DataError if the file contains anything else.
    """
    file = part.tree.find(f"{part.number}_verts/{Path(name).stem}.pkl")
    if file is None:
        return None
    value = read_annotation(file)
    shape = shape_of(value, most=_MOST_NUMBERS) or ()
    fits = len(shape) == 2 and shape[0] >= MANO_VERTICES
    vertices = floats(value, (shape[0], 3)) if fits else None
    if vertices is None:
        found = f"values of shape {shape}" if shape else "no array of numbers"
        expected = f"finite numbers of shape (N, 3), N at least {MANO_VERTICES}"
        raise DataError(f"{file.name}: found {found}, expected {expected}; download the part again")
    return vertices[:MANO_VERTICES] * FROM_UNITY


def _turn(rotation: np.ndarray) -> np.ndarray:
    """Return the global rotation in our axes: R' = diag(1, -1, -1) R."""
    return (Rotation.from_matrix(np.diag(FROM_UNITY)) * Rotation.from_rotvec(rotation)).as_rotvec()


def _unpack(row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unpack a row into (pose, joints, points): 3D joints in our order and axes, and 2D joints in our order."""
    values = np.asarray(row, np.float64)
    edges = np.cumsum([0, *(int(np.prod(shape)) for shape in SHAPES.values())])
    pose, joints, points = (
        values[a:b].reshape(s) for a, b, s in zip(edges[:-1], edges[1:], SHAPES.values(), strict=True)
    )
    return pose, (joints * FROM_UNITY)[_GATHER], points[_GATHER]


def _stage_part(part: DartPart, target: Path) -> tuple[Rows, list[str]]:
    """Return (rows, file names) of one part, stored in files named like `target`; existing files are reused."""
    rows_path, names_path = target.with_suffix(".npy"), target.with_suffix(".json")
    if not (rows_path.is_file() and names_path.is_file()):
        names, rows = _pack(read_annotation(part.file), part.file.name)
        write_text(names_path, _dump(names))
        with write_rows(rows_path, rows.shape[1:]) as append:
            append(rows)
    return Rows(rows_path), read_text(names_path).split("\n")


def _dump(names: Sequence[str]) -> str:
    return "\n".join(names)


def _pack(record: Any, name: str) -> tuple[list[str], np.ndarray]:
    """Return the file names and one float32 row per sample, NaN if its annotation is wrong.

    Raises: DataError if a list is missing or empty, the lists differ in length, or a file name is invalid.
    """
    lists = {key: record.get(key) if isinstance(record, dict) else None for key in ("img", *SHAPES)}
    lengths = {
        key: len(value) if isinstance(value, list | tuple | np.ndarray) else None for key, value in lists.items()
    }
    if None in lengths.values() or len(set(lengths.values())) != 1 or not lengths["img"]:
        raise DataError(
            f"{name}: lists have lengths {lengths}, expected equal lengths of at least 1; download the part again"
        )
    names = [image if isinstance(image, str) else "" for image in lists["img"]]  # type: ignore[union-attr]
    wrong = [n for n, image in enumerate(names) if "/" in image or "\\" in image or not image.strip()]
    if wrong:
        found = lists["img"][wrong[0]]  # type: ignore[index]
        raise DataError(f"{name}: {found!r:.80} is not a file name; download the part again")
    rows = np.full((len(names), sum(int(np.prod(shape)) for shape in SHAPES.values())), np.nan, np.float32)
    for row in range(len(names)):
        values = [floats(lists[key][row], shape) for key, shape in SHAPES.items()]  # type: ignore[index]
        whole = [value.ravel() for value in values if value is not None]
        if len(whole) == len(values):
            rows[row] = np.concatenate(whole)
    return names, rows


def find_parts(root: Path) -> tuple[dict[str, list[DartPart]], Marker]:
    """Return the parts of each split by number. Files in a folder named train or test belong to that split.

    Raises: DataError if a part is in neither folder.
    """
    places = find_places(root, (*ANCHORS, MARKER_NAME))
    marks = [file for place in places if (file := place.find(MARKER_NAME))]
    splits: dict[str, list[Place]] = {folder: [] for folder in SPLITS}
    for place in places:
        folder = next((part for part in reversed(Path(place.name).parts) if part in SPLITS), None)
        if folder is not None:
            splits[folder].append(place)
        elif any(_PART.fullmatch(name) for name in place.names("")):
            raise DataError(
                f"{place.name}: found DART parts outside train and test; keep the folder structure of the download"
            )
    trees = {folder: Tree(tuple(found)) for folder, found in splits.items()}
    numbers = {
        folder: sorted(int(match[1]) for name in tree.names("") if (match := _PART.fullmatch(name)))
        for folder, tree in trees.items()
    }
    parts = {folder: [DartPart(trees[folder], number) for number in numbers[folder]] for folder in SPLITS}
    return {folder: found for folder, found in parts.items() if found}, read_marker(marks[0] if marks else None)


def open_dart(request: Request) -> Sequence[Split]:
    """Return the splits under `request.root`. Raises: DataError if there are none."""
    splits, marker = find_parts(request.root)
    if not splits:
        raise DataError(f"{request.root}: no DART found, expected train/part_0.pkl; {DOWNLOAD}")
    return [_open_split(folder, tuple(parts), marker, request.limit) for folder, parts in splits.items()]


def _open_split(folder: str, parts: tuple[DartPart, ...], marker: Marker, limit: int | None) -> DartSplit:
    total = 0
    for part in parts:
        record = read_annotation(part.file)
        images = record.get("img") if isinstance(record, dict) else None
        total += len(images) if isinstance(images, list | tuple | np.ndarray) else 0
    facts = DatasetFacts(
        dataset="dart",
        split=SPLITS[folder],
        version="v1",
        licence="free",
        joint_definition="other",
        hand=None if marker.stand_in_vertices else "mano",
        pose_zero=None if marker.stand_in_vertices else "mean",
        camera="orthographic",
        synthetic=marker.synthetic,
        mano_stand_in=marker.stand_in_vertices,
        provenance="DARTset; Gao et al., NeurIPS 2022 Datasets and Benchmarks",
        crop_scale=None,
    )
    sizes = {f"part_{part.number}": part.file.size for part in parts}
    count = min(total, limit) if limit else total
    return DartSplit(parts, facts, marker, {"parts": sizes, "limit": limit}, limit, count)


def inspect_dart(request: Request) -> Sequence[FileState]:
    """List the available parts, with the number of files in each folder."""
    splits, _ = find_parts(request.root)
    found = []
    for folder in SPLITS:
        if folder not in splits:
            found.append(FileState(f"{folder}/part_0.pkl", "missing" if folder == "train" else "optional"))
        for part in splits.get(folder, []):
            found.append(FileState(f"{folder}/part_{part.number}.pkl", "present", f"{part.file.size:,} bytes"))
            for suffix, needed in (("", True), ("_wbg", False), ("_verts", False)):
                line = describe_folder(part.tree, f"{part.number}{suffix}", None, needed=needed)
                found.append(FileState(f"{folder}/{line.path}", line.state, line.detail))
    return found


DART = Source(
    name="dart",
    summary="DART: 800,000 rendered right hands, seen by an orthographic camera",
    licence="free",
    download=DOWNLOAD,
    layout=LAYOUT,
    open=open_dart,
    inspect=inspect_dart,
)
