"""Small benchmarks: a handful of made-up hands as ground truth, and protocols that expect no more."""

import json
from dataclasses import replace

import numpy as np
import pytest

SAMPLES = {"freihand": 5, "ho3d-v2": 6, "ho3d-v3": 7}
JOINT_VERTICES = np.linspace(0, 777, 21).astype(int)


@pytest.fixture
def protocols(monkeypatch):
    """Let every benchmark have a handful of samples; return the table."""
    from hifihr_core.evaluation import protocols as module

    table = {
        name: replace(protocol, samples=SAMPLES.get(name, protocol.samples))
        for name, protocol in module.PROTOCOLS.items()
    }
    monkeypatch.setattr(module, "PROTOCOLS", table)
    return table


@pytest.fixture(scope="session")
def make_truth():
    """Return ``make("freihand", seed=0) -> PointSets``: hands of a plausible size in front of the camera."""
    from hifihr_core.evaluation.files import PointSets

    def make(name, seed=0, samples=None):
        rng = np.random.default_rng(seed)
        count = samples or SAMPLES[name]
        turns = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
        vertices = (rng.normal(size=(count, 778, 3)) * [0.04, 0.06, 0.02]) @ turns
        z = -0.7 if name.startswith("ho3d") else 0.7
        vertices = vertices + np.array([0.05, -0.02, z])
        return PointSets(vertices[:, JOINT_VERTICES].copy(), vertices)

    return make


@pytest.fixture(scope="session")
def write_truth():
    """Return ``write(truth, folder)``: the two files of a benchmark's ground truth."""

    def write(truth, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation_xyz.json").write_text(json.dumps(truth.joints.tolist()))
        (folder / "evaluation_verts.json").write_text(json.dumps(truth.vertices.tolist()))
        return folder

    return write


@pytest.fixture(scope="session")
def write_predictions():
    """Return ``write(points, path)``: a `pred.json` as the official scripts dump it."""

    def write(points, path):
        vertices = [] if points.vertices is None else points.vertices.tolist()
        path.write_text(json.dumps([points.joints.tolist(), vertices]))
        return path

    return write
