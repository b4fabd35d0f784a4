"""Write predictions in the form that the benchmarks accept: `pred.json` inside `pred.zip`."""

import json
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hifihr_core.evaluation.benchmarks.point_files import PointSets
from hifihr_core.evaluation.benchmarks.table import Benchmark
from hifihr_core.files import write_atomically

#: A fixed time stamp, so that equal predictions give identical archives.
_TIME = (1980, 1, 1, 0, 0, 0)


def to_submission(
    joints_cam: Float[np.ndarray, "B 21 3"], vertices_cam: Float[np.ndarray, "B V 3"] | None, benchmark: Benchmark
) -> PointSets:
    """Convert predictions to the frame and joint order of a benchmark: for HO-3D, OpenGL axes and MANO's joint order.

    `joints_cam` and `vertices_cam` are in our camera frame and joint order, metres. Results are in metres too.
    """
    axes = np.asarray(benchmark.axes)
    vertices = None if vertices_cam is None else vertices_cam.astype(np.float64) * axes
    return PointSets(joints_cam[:, list(benchmark.to_submission)].astype(np.float64) * axes, vertices)


def anchor_root(points: PointSets, given: Float[np.ndarray, "B 3"], *, joint: int) -> PointSets:
    """Shift every hand so that `joint` (in the order of `points`) is at the given position, in the same frame."""
    shift = (given - points.joints[:, joint])[:, None]
    return PointSets(points.joints + shift, None if points.vertices is None else points.vertices + shift)


def write_submission(path: Path, predictions: PointSets) -> None:
    """Write `pred.zip` with `pred.json` inside: [joints, vertices], one entry per sample, rounded to ten nanometres.

    Equal predictions give identical bytes. Raises: DataError if the file cannot be written.
    """
    with write_atomically(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        entry = zipfile.ZipInfo("pred.json", _TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as member:
            member.write(b"[[")
            _write_points(member, predictions.joints)
            member.write(b"], [")
            if predictions.vertices is not None:
                _write_points(member, predictions.vertices)
            member.write(b"]]")


def _write_points(member: object, points: np.ndarray) -> None:
    for index, sample in enumerate(points):
        text = json.dumps(sample.round(8).tolist())
        member.write((", " if index else "").encode() + text.encode())  # type: ignore[attr-defined]
