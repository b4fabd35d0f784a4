"""Read and check ground-truth and prediction files of the benchmarks; bad files are rejected with a reason.

Points stay in the frame, joint order and units of the benchmark: for FreiHAND, our camera frame and joint order; for
HO-3D, OpenGL axes and MANO's joint order. Scores depend on neither, as long as predictions and ground truth agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hifihr_core.errors import DataError
from hifihr_core.evaluation.benchmarks.table import DATASETS, Benchmark, benchmarks_of, find_benchmark
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.outside.folders import walk
from hifihr_core.outside.json_lists import Entry, iterate_entries
from hifihr_core.outside.zips import RawFile, is_zip, read_zip_index
from hifihr_core.skeleton import NUM_JOINTS
from hifihr_core.sources.marker import MARKER_NAME, Marker, read_marker

MANO_VERTICES = 778

_GROUPS = ("joints", "vertices")
_HOW_TO_WRITE = "write the file with json.dump([xyz, verts], file)"
_REMEDIES = {
    "freihand": "download FreiHAND_pub_v2_eval.zip from the FreiHAND page and unpack it there",
    "ho3d": "download the evaluation ground truth (linked in the README of the HO-3D repository) and unpack it there",
}
#: Ratio of predicted to true spread, and the unit that it reveals.
_UNITS = ((50.0, 200.0, "centimetres", 100), (500.0, 2000.0, "millimetres", 1000))


@dataclass(frozen=True)
class PointSets:
    """Joints and vertices of all samples, in the frame and joint order of the benchmark, float64, metres.

    `vertices` is None if a prediction has none. In a prediction, V may differ from MANO's 778.
    """

    joints: Float[np.ndarray, "B 21 3"]
    vertices: Float[np.ndarray, "B V 3"] | None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.joints)

    def at(self, positions: Sequence[int]) -> "PointSets":
        """Return the samples at `positions`."""
        rows = list(positions)
        return PointSets(self.joints[rows], None if self.vertices is None else self.vertices[rows])


def read_ground_truth(
    folder: Path,
    dataset: str,
    *,
    version: str | None = None,
    limit: int | None = None,
    on_progress: OnProgress = no_progress,
) -> tuple[PointSets, Benchmark]:
    """Read the first `limit` samples of `evaluation_xyz.json` and `evaluation_verts.json`, at any depth in `folder`.

    Also returns the benchmark, whose version is recognised by the number of samples in the files. Unofficial ground
    truth, such as that of a dataset generated with `prepare synth --as`, may have any number of samples; then the
    `samples` of its benchmark is None. With `version`, ground truth that was not generated must be the official
    one of that version.
    Raises: DataError if a file is missing or broken, or its number of samples is not that of `version`.
    """
    find_benchmark(dataset, version=version)  # rejects an unknown name before anything is read
    joints_file = _find(folder, "evaluation_xyz.json", dataset)
    vertices_file = _find(joints_file.parent, "evaluation_verts.json", dataset)
    joints, count = _read_list(joints_file, NUM_JOINTS, limit, no_progress)
    benchmark = find_benchmark(dataset, version=version, samples=count)
    if find_marker(joints_file.parent).synthetic or (version is None and count != benchmark.samples):
        benchmark = replace(benchmark, samples=None)
    _check_count(joints_file, count, benchmark)
    vertices, vertex_count = _read_list(vertices_file, MANO_VERTICES, limit, on_progress, benchmark.samples)
    if vertex_count != count:
        raise DataError(
            f"{vertices_file}: {vertex_count:,} entries, expected {count:,} as in {joints_file.name}; "
            "unpack both files from the same archive"
        )
    truth = PointSets(joints, vertices)
    _check_finite(joints_file, joints)
    _check_finite(vertices_file, vertices)
    return truth, benchmark


def read_predictions(
    path: Path,
    truth: PointSets,
    benchmark: Benchmark,
    *,
    partial: bool = False,
    on_progress: OnProgress = no_progress,
) -> PointSets:
    """Read a `pred.json`, or the one inside a `pred.zip`, and check it against the ground truth.

    With `partial`, predictions beyond the samples of `truth` are ignored.
    Raises: DataError for a truncated file or one of another kind, wrong numbers of samples or joints, NaN, wrong units,
    and axes that put hands behind the camera.
    """
    groups = _read_groups(path, len(truth), on_progress)
    for name, (_, count) in zip(_GROUPS, groups, strict=True):
        empty_mesh = name == "vertices" and count == 0
        if not (count == len(truth) or (partial and count > len(truth)) or empty_mesh):
            raise DataError(f"{path}: entries of {name}: {count:,}, expected {len(truth):,}{_hint(count, benchmark)}")
    joints, vertices = groups[0][0], groups[1][0]
    if joints.shape[1] != NUM_JOINTS:
        raise DataError(f"{path}: {joints.shape[1]} joints per sample, expected {NUM_JOINTS} in {benchmark.name} order")
    predictions = PointSets(joints, vertices if groups[1][1] and vertices.shape[1] else None)
    check_predictions(predictions, truth, benchmark, name=path)
    return predictions


def check_predictions(predictions: PointSets, truth: PointSets, benchmark: Benchmark, *, name: str | Path) -> None:
    """Raise DataError for impossible predictions: non-finite, in the wrong unit, or behind the camera."""
    for points in (predictions.joints, predictions.vertices):
        if points is not None:
            _check_finite(name, points)
    ratio = float(np.median(_spread(predictions.joints) / np.maximum(_spread(truth.joints), 1e-9)))
    for low, high, unit, factor in _UNITS:
        if low <= ratio <= high:
            raise DataError(
                f"{name}: hands are {ratio:.0f} times as large as the true ones, so its points are in {unit}, "
                f"expected metres; divide by {factor:,}"
            )
    _check_axes(predictions, benchmark, name)


def _check_axes(predictions: PointSets, benchmark: Benchmark, name: str | Path) -> None:
    sign = benchmark.behind_camera
    sets = [points for points in (predictions.joints, predictions.vertices) if points is not None]
    behind = np.any([(sign * points[..., 2] > 0).all(axis=1) for points in sets], axis=0)
    if behind.mean() > 0.5:
        frame = "OpenGL axes (multiply x, y, z by 1, -1, -1)" if sign > 0 else "OpenCV axes, z forward"
        raise DataError(
            f"{name}: all z are {'positive' if sign > 0 else 'negative'} in {int(behind.sum()):,} of {len(behind):,} "
            f"samples, which puts them behind the camera, expected {frame}"
        )


def _spread(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=(1, 2))


def _check_finite(name: str | Path, points: np.ndarray) -> None:
    bad = ~np.isfinite(points).all(axis=(1, 2))
    if bad.any():
        raise DataError(
            f"{name}: samples with NaN or infinite numbers: {int(bad.sum()):,}, the first is sample "
            f"{int(bad.argmax())}; expected finite numbers"
        )


def _check_count(path: Path, count: int, benchmark: Benchmark) -> None:
    if benchmark.samples is None or count == benchmark.samples:
        return
    known = [other for other in benchmarks_of(benchmark.dataset) if other.samples == count]
    remedy = (
        f"{count:,} is the length of {known[0].version}, so pass --version {known[0].version}"
        if known
        else ("download the file again, or drop --version to score it anyway")
    )
    raise DataError(f"{path}: {count:,} entries, expected {benchmark.samples:,} for {benchmark.name}; {remedy}")


def _hint(count: int, benchmark: Benchmark) -> str:
    for other in (other for dataset in DATASETS for other in benchmarks_of(dataset)):
        if other.samples == count and other.name != benchmark.name:
            return f" for {benchmark.name}; {count:,} is the length of {other.name}; check the dataset and --version"
    return f" for {benchmark.name}; predict every sample of the evaluation split once, in order"


def find_marker(folder: Path) -> Marker:
    """Return the marker of a generated dataset, from the marker file at the smallest depth in `folder`.

    Without such a file, the dataset is not a generated one, and the marker has its default values.
    """
    below = [place / MARKER_NAME for place, _, names in walk(folder) if MARKER_NAME in names]
    found = sorted(below, key=lambda path: len(path.parts))
    return read_marker(RawFile(found[0]) if found else None)


def _find(folder: Path, name: str, dataset: str) -> Path:
    """Return the file of that name at the smallest depth in `folder`."""
    if not folder.is_dir():
        found_kind = "a file" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {found_kind}, expected the folder with {name}; give it with --gt")
    direct = folder / name
    below = [place / name for place, _, names in walk(folder) if name in names]
    found = [direct] if direct.is_file() else sorted(below, key=lambda path: len(path.parts))
    if not found:
        raise DataError(f"{folder}: no {name} at any depth; {_REMEDIES.get(dataset, 'put the ground truth there')}")
    return found[0]


def _read_list(
    path: Path, points_each: int, limit: int | None, on_progress: OnProgress, total: int | None = None
) -> tuple[np.ndarray, int]:
    """Return the first `limit` samples of a ground-truth file, and the total number of samples in it."""
    kept: list[np.ndarray] = []
    count = 0
    with RawFile(path).open() as stream:
        for entry in iterate_entries(stream, path):
            if limit is None or count < limit:
                points = _parse_points(entry, path, f"sample {count}")
                if len(points) != points_each:
                    raise DataError(f"{path}: sample {count}: {len(points)} points, expected {points_each}")
                kept.append(points)
            count += 1
            on_progress(count, total)
    if not kept:
        raise DataError(f"{path}: contains no samples; download the file again")
    return np.stack(kept), count


def _read_groups(path: Path, keep: int, on_progress: OnProgress) -> list[tuple[np.ndarray, int]]:
    """Return (points, number of entries) for joints and vertices of a prediction file.

    The points of entries beyond the first `keep` are dropped.
    """
    arrays: list[np.ndarray | None] = [None, None]
    counts = [0, 0]
    with _find_predictions(path).open() as stream:
        for entry in iterate_entries(stream, path, level=2, lists=len(_GROUPS), remedy=_HOW_TO_WRITE):
            if entry.group >= len(_GROUPS):
                continue  # counted, and rejected at the end
            index, name = counts[entry.group], _GROUPS[entry.group]
            if index < keep:
                points = _parse_points(entry, path, f"{name} of sample {index}")
                arrays[entry.group] = _keep(arrays[entry.group], points, index, keep, path, name)
            counts[entry.group] += 1
            on_progress(sum(counts), 2 * keep)
    if arrays[0] is None:
        raise DataError(f"{path}: contains no joints, expected one entry per sample; {_HOW_TO_WRITE}")
    empty = np.empty((0, 0, 3))
    return [(empty if array is None else array, count) for array, count in zip(arrays, counts, strict=True)]


def _keep(array: np.ndarray | None, points: np.ndarray, index: int, keep: int, path: Path, what: str) -> np.ndarray:
    """Store the points of sample `index` in `array`, and return it; for the first sample, `array` is None."""
    if array is None:
        array = np.zeros((keep, *points.shape))
    if points.shape != array.shape[1:]:
        raise DataError(
            f"{path}: {what} of sample {index}: {len(points)} points, expected {array.shape[1]} as in earlier samples"
        )
    array[index] = points
    return array


def _parse_points(entry: Entry, name: str | Path, what: str) -> np.ndarray:
    """Return one sample as float64 points (N, 3). Raises: DataError if it is anything else."""
    try:
        values = entry.parse()
    except ValueError as error:
        raise DataError(f"{name}: {what}: {error}; download or write it again") from error
    try:
        points = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{name}: {what}: found ragged rows or values that are not numbers, expected rows of [x, y, z]"
        ) from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{name}: {what}: found shape {points.shape}, expected N rows of [x, y, z]")
    return points


def _find_predictions(path: Path) -> RawFile:
    """Return `path` if it is a JSON file, or the `pred.json` (or the only JSON file) inside a zip."""
    if not is_zip(path):
        return RawFile(path)
    found = [file for file in read_zip_index(RawFile(path)).files() if file.inner.lower().endswith(".json")]
    named = [file for file in found if file.inner.rpartition("/")[2] == "pred.json"]
    chosen = named if len(named) == 1 else found
    if len(chosen) != 1:
        raise DataError(f"{path}: contains {len(chosen)} JSON files, expected only pred.json; zip it alone")
    return chosen[0]
