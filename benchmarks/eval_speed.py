"""Claim: all FreiHAND metrics of 3,960 samples (21 joints, 778 vertices, F-scores raw and aligned) within 15 s, 2 GiB.

Reading the JSON files is measured separately: ours against `json.load`. The F-score kernel is compared with building
and querying two k-d trees per sample, in one run, on samples of the same data.

Usage: python benchmarks/eval_speed.py [--samples 3960] [--threads 2] [--json FILE]
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from reporting import report
from scipy.spatial import cKDTree

from hifihr_core.evaluation.benchmarks.point_files import PointSets, read_predictions
from hifihr_core.evaluation.benchmarks.scoring import score
from hifihr_core.evaluation.benchmarks.table import BENCHMARKS
from hifihr_core.metrics.nearest import nearest_distances

_PROBE = 128


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=3960)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    truth = make_points(options.samples, noise_m=0.0)
    pred = make_points(options.samples, noise_m=0.006)
    nearest_distances(pred.vertices[:2], truth.vertices[:2])  # compiles
    cpu = time.process_time()
    seconds, _ = timed(lambda: score(pred, truth, BENCHMARKS["freihand"]))
    values = {
        "samples": options.samples,
        "threads": options.threads,
        "score_s": seconds,
        "score_cpu_s": time.process_time() - cpu,
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        **kernel_against_trees(pred, truth),
        **reading(pred, truth),
    }
    report("eval_speed", values, options.json)


def make_points(samples: int, *, noise_m: float) -> PointSets:
    """Return hand-sized clouds of points; calls differ only by noise."""
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(samples, 778, 3)) * [0.04, 0.06, 0.02] + [0, 0, 0.7]
    vertices += noise_m * np.random.default_rng(1).normal(size=vertices.shape)
    return PointSets(vertices[:, ::38][:, :21].copy(), vertices)


def kernel_against_trees(pred: PointSets, truth: PointSets) -> dict[str, float]:
    """Return milliseconds per pair of clouds, both directions, on one thread."""
    a, b = pred.vertices[:_PROBE], truth.vertices[:_PROBE]

    def trees() -> None:
        for one, other in zip(a, b, strict=True):
            cKDTree(other).query(one)
            cKDTree(one).query(other)

    kernel_s = min(timed(lambda: nearest_distances(a, b, threads=1))[0] for _ in range(3))
    trees_s = min(timed(trees)[0] for _ in range(3))
    return {
        "kernel_ms": 1000 * kernel_s / len(a),
        "trees_ms": 1000 * trees_s / len(a),
        "trees_over_kernel": trees_s / kernel_s,
    }


def reading(pred: PointSets, truth: PointSets) -> dict[str, float]:
    """Return the seconds to read a prediction file with our reader and with `json.load` and conversion to arrays."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pred.json"
        path.write_text(json.dumps([pred.joints.tolist(), pred.vertices.tolist()]))
        ours_s, _ = timed(lambda: read_predictions(path, truth, BENCHMARKS["freihand"]))
        plain_s, _ = timed(lambda: [np.array(points) for points in json.loads(path.read_text())])
        megabytes = path.stat().st_size / 1e6
    return {"file_mb": megabytes, "read_s": ours_s, "json_load_s": plain_s, "json_load_over_ours": plain_s / ours_s}


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds that a call took, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
