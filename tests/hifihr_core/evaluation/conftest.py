"""Small benchmarks: a few made-up hands as ground truth, and benchmarks that expect just these."""

import json
from dataclasses import replace

import numpy as np
import pytest

SAMPLES = {"freihand": 5, "ho3d-v2": 6, "ho3d-v3": 7}
JOINT_VERTICES = np.linspace(0, 777, 21).astype(int)


@pytest.fixture
def benchmarks(monkeypatch):
    """Give every benchmark only a few samples; return the table."""
    from hifihr_core.evaluation.benchmarks import table as module

    table = {
        name: replace(benchmark, samples=SAMPLES.get(name, benchmark.samples))
        for name, benchmark in module.BENCHMARKS.items()
    }
    monkeypatch.setattr(module, "BENCHMARKS", table)
    return table


@pytest.fixture(scope="session")
def make_truth():
    """Return ``make("freihand", seed=0) -> PointSets``: hands of a plausible size in front of the camera."""
    from hifihr_core.evaluation.benchmarks.point_files import PointSets

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
    """Return ``write(points, path)``: a `pred.json` as written by the official scripts."""

    def write(points, path):
        vertices = [] if points.vertices is None else points.vertices.tolist()
        path.write_text(json.dumps([points.joints.tolist(), vertices]))
        return path

    return write


SIDE = 64


@pytest.fixture(scope="session")
def write_shards():
    """Return ``write(folder, "ho3d", samples=4, **facts) -> folder``: an evaluation split of synthetic pictures."""
    import torch

    from hifihr_core.hands import load_hand
    from hifihr_core.records import Sample
    from hifihr_core.shards.pictures import encode_jpeg, encode_mask
    from hifihr_core.shards.schema import INDEX_NAME, DatasetFacts, LabelFacts, ShardIndex, table_of
    from hifihr_core.shards.writer import write_shard
    from hifihr_core.synthesis.generator import Synthesizer
    from hifihr_core.synthesis.options import SynthOptions

    made = {}

    def make(joints):
        if joints not in made:
            hand = load_hand("anny", joints=joints)
            made[joints] = hand, Synthesizer(hand, seed=3, options=SynthOptions(image_px=SIDE)).make(0, 5)
        return made[joints]

    def write(folder, dataset, *, samples=4, without=(), **facts):
        ho3d = dataset == "ho3d"
        hand, batch = make("ho3d" if ho3d else "freihand")
        facts = DatasetFacts(
            **{
                "dataset": dataset,
                "split": "evaluation",
                "version": "v2",
                "licence": "free",
                "joint_definition": hand.joint_definition,
                "root_joint": 0 if ho3d else 9,
                "hand": "anny",
                "synthetic": True,
                "mano_stand_in": True,
                **facts,
            }
        )
        labels = {
            name: value[:samples].numpy()
            for name, value in batch.labels.items()
            if name != "mask" and name not in without
        }
        if ho3d:
            labels["root_cam"] = batch.labels["joints_cam"][:samples, 0].numpy()
        rows = [
            Sample(
                key=f"SM1/{b:04d}",
                annotation=f"SM1/{b:04d}",
                image=encode_jpeg((255 * batch.image[b]).permute(1, 2, 0).round().to(torch.uint8).numpy()),
                K=batch.K[b].numpy(),
                labels={name: np.asarray(values[b], np.float32) for name, values in labels.items()},
                mask=None if "mask" in without else encode_mask(batch.labels["mask"][b].numpy()),
            )
            for b in range(samples)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        shard, _ = write_shard(folder / "shard.h5", rows, facts=facts, software="test")
        shapes = {
            name: LabelFacts(shape=v.shape[1:], table=table_of(name), count=samples) for name, v in labels.items()
        }
        index = ShardIndex(
            software="test", facts=facts, plan={}, samples=samples, annotations=samples, labels=shapes, shards=(shard,)
        )
        (folder / INDEX_NAME).write_text(index.dump())
        return folder

    return write


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory):
    """Return the weight file of an untrained network for the anny hand and 64-pixel crops."""
    import torch

    from hifihr_core.config.tree import RunSettings
    from hifihr_core.hands import load_hand
    from hifihr_core.models.checkpoint import describe_weights, save_weights
    from hifihr_core.models.table import build_network

    torch.manual_seed(0)
    settings = RunSettings.model_validate(
        {"model": {"hand": "anny", "backbone": "mobilenetv4_conv_small", "weights": "none"}, "data": {"image_px": SIDE}}
    )
    hand = load_hand("anny")
    network = build_network(settings.model, hand, image_px=SIDE, weights="none")
    path = tmp_path_factory.mktemp("run") / "checkpoints" / "best.safetensors"
    save_weights(path, network.state_dict(), describe_weights(settings, hand, step=3))
    return path
