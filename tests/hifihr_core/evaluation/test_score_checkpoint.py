"""Run a network over shards, and a predictor that knows the answer: frames, orders and roots must match."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import torch

from hifihr_core.errors import AssetError, DataError, HifihrError
from hifihr_core.evaluation.benchmarks.table import BENCHMARKS
from hifihr_core.evaluation.checkpoint_job import RunOptions
from hifihr_core.evaluation.collect import collect
from hifihr_core.evaluation.inference import choose_surface, open_batches, open_evaluation_shards
from hifihr_core.evaluation.predicted_parameters import ParameterScorer
from hifihr_core.evaluation.run import write_evaluation
from hifihr_core.evaluation.score_checkpoint import (
    collect_part,
    evaluate_checkpoint,
    find_checkpoint,
)
from hifihr_core.geometry.cameras import measure_root
from hifihr_core.hands import load_hand
from hifihr_core.hands.contract import HandParameters
from hifihr_core.machine.parts import Part
from hifihr_core.models.contract import Estimate
from hifihr_core.models.placing import place_estimate
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer
from hifihr_core.shards.folder import ShardSet

SIDE = 64


def oracle(hand):
    """A predictor that reads the labels."""
    renderer = Renderer(hand.faces, height=SIDE, width=SIDE)

    def predict(batch):
        labels = batch.labels
        light = Light(*labels["light"].split(3, dim=1))
        parameters = HandParameters(*(labels[name] for name in ("global_orient", "pose", "shape", "texture")))
        estimate = Estimate(parameters, *measure_root(labels["joints_cam"][:, 9], batch.K), light)
        return place_estimate(estimate, batch.K, hand, renderer=renderer)

    return predict


@pytest.mark.parametrize(("dataset", "joints"), [("freihand", "freihand"), ("ho3d", "ho3d")])
def test_the_truth_predicted_has_no_error(write_shards, tmp_path, dataset, joints):
    shards = ShardSet(write_shards(tmp_path, dataset, samples=3))
    benchmark = BENCHMARKS[{"ho3d": "ho3d-v2"}.get(dataset, dataset)]
    hand = load_hand("anny", joints=joints)
    batches = open_batches(shards, range(3), hand_scale=2.0, image_px=SIDE, batch_size=2)
    surface = choose_surface(hand, truth_is_stand_in=True)
    found = collect(batches, oracle(hand), surface, benchmark, total=3, scorer=ParameterScorer(hand))
    assert found.keys == ["SM1/0000", "SM1/0001", "SM1/0002"]
    np.testing.assert_allclose(np.concatenate(found.joints), found.label("joints_cam"), atol=1e-5)
    np.testing.assert_allclose(np.concatenate(found.surface), found.label("mano_vertices_cam"), atol=1e-5)
    assert all(abs(value) < 0.1 for row in found.parameters for value in row.values())
    assert all(row["coverage"] > 0.8 for row in found.strict)
    assert len(found.paper) == 3


@pytest.fixture(scope="module")
def evaluated(write_shards, checkpoint_path, tmp_path_factory):
    """Return the evaluation of an untrained network on HO-3D and the folder of its report."""
    folder = tmp_path_factory.mktemp("ho3d")
    shards = write_shards(folder / "shards", "ho3d")
    evaluation = evaluate_checkpoint(checkpoint_path, "ho3d", shards=shards, options=RunOptions(batch_size=3))
    write_evaluation(folder / "report", evaluation)
    return evaluation, folder


def test_ho3d_is_anchored_at_the_given_wrist(evaluated):
    evaluation, folder = evaluated
    shards = ShardSet(folder / "shards")
    given, _ = shards.column("root_cam")
    with zipfile.ZipFile(folder / "report" / "pred.zip") as archive:
        joints, vertices = (np.array(points) for points in json.loads(archive.read("pred.json")))
    np.testing.assert_allclose(joints[:, 0], given * [1, -1, -1], atol=1e-6)
    assert (vertices[..., 2] < 0).mean() > 0.9
    assert vertices.shape == (4, 778, 3)
    assert evaluation.document["camera"]["mpjpe_mm"] != pytest.approx(evaluation.document["metrics"]["mpjpe_mm"])


def test_the_report_says_what_it_depends_on(evaluated):
    evaluation, folder = evaluated
    document = json.loads((folder / "report" / "metrics.json").read_text())
    assert document["protocol"] == {
        "name": "ho3d-v2",
        "samples": 4,
        "complete": False,
        "joint_definition": "ho3d",
    }
    assert len(document["checkpoint"]["sha256"]) == len(document["dataset"]["index_sha256"]) == 64
    assert document["settings"]["model"]["backbone"] == "mobilenetv4_conv_small"
    assert document["licences"]["hand"] == "free"
    assert "hifihr assets fetch lpips-alex" in document["texture"]["lpips"]
    assert document["texture"]["paper"]["lpips"] is None
    assert document["texture"]["paper"]["mask"] == "silhouette"
    assert document["texture"]["strict"]["samples"] == 4
    assert "778 fixed points" in document["notes"][0]
    assert (folder / "report" / "pck.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report" / "samples.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "SM1/000" in page
    assert set(evaluation.document["official"]) == set(BENCHMARKS["ho3d-v2"].official)


def test_twice_the_same_gives_the_same_bytes(evaluated, checkpoint_path, tmp_path):
    _, folder = evaluated
    again = evaluate_checkpoint(checkpoint_path, "ho3d", shards=folder / "shards", options=RunOptions(batch_size=3))
    write_evaluation(tmp_path, again)
    for name in ("metrics.json", "pred.zip", "samples.html", "pck.png"):
        assert (tmp_path / name).read_bytes() == (folder / "report" / name).read_bytes()


def test_the_true_root_moves_hands_to_it(evaluated, checkpoint_path):
    _, folder = evaluated
    options = RunOptions(root="gt", batch_size=4)
    document = evaluate_checkpoint(checkpoint_path, "ho3d", shards=folder / "shards", options=options).document
    assert document["camera"]["mpjpe_mm"] == pytest.approx(document["metrics"]["mpjpe_mm"], rel=1e-4)
    assert document["root"] == "gt"


def test_limit_leaves_the_submission_out(evaluated, checkpoint_path):
    _, folder = evaluated
    part = evaluate_checkpoint(checkpoint_path, "ho3d", shards=folder / "shards", options=RunOptions(limit=2))
    assert part.submission is None
    assert part.document["protocol"]["samples"] == 2
    assert "no pred.zip" in part.document["notes"][-1]


def test_another_surface_says_so(write_shards, checkpoint_path, tmp_path):
    """Real MANO vertices as truth, and a hand without them: mesh errors are not applicable."""
    shards = write_shards(tmp_path, "freihand", samples=2, mano_stand_in=False, hand="mano")
    document = evaluate_checkpoint(checkpoint_path, "freihand", shards=shards).document
    assert document["metrics"]["mpvpe_mm"] is None
    assert document["metrics"]["pa_f15"] is not None
    assert "surface points of the prediction" in document["notes"][0]
    assert document["parameters"] is None


def test_synth_measures_shape_texture_and_light(write_shards, checkpoint_path, tmp_path):
    shards = write_shards(tmp_path, "synth", samples=2)
    evaluation = evaluate_checkpoint(checkpoint_path, "synth", shards=shards, fail_under=["light_angle_deg=0.001"])
    parameters = evaluation.document["parameters"]
    assert set(parameters) == {"shape_mm", "texture_l1", "ambient_l1", "light_color_l1", "light_angle_deg"}
    assert all(value > 0 for value in parameters.values())
    assert evaluation.missed[0].startswith("light_angle_deg is")
    assert evaluation.document["official"] is None


def test_truth_may_come_from_files(write_shards, write_truth, make_truth, benchmarks, checkpoint_path, tmp_path):
    shards = write_shards(tmp_path / "s", "freihand", samples=5, without=("joints_cam", "mano_vertices_cam"))
    with pytest.raises(DataError, match="prepared without ground truth"):
        evaluate_checkpoint(checkpoint_path, "freihand", shards=shards)
    gt = write_truth(make_truth("freihand"), tmp_path / "gt")
    document = evaluate_checkpoint(checkpoint_path, "freihand", shards=shards, ground_truth=gt).document
    assert document["protocol"]["samples"] == 5


def test_no_masks_no_strict_numbers(write_shards, checkpoint_path, tmp_path):
    shards = write_shards(tmp_path, "freihand", samples=2, without=("mask",))
    texture = evaluate_checkpoint(checkpoint_path, "freihand", shards=shards).document["texture"]
    assert "no true masks" in texture["strict"]["unavailable"]
    assert "no true masks" in texture["paper"]["unavailable"]


def test_a_network_that_gives_nan_is_named(write_shards, tmp_path):
    shards = ShardSet(write_shards(tmp_path, "freihand", samples=2))
    hand = load_hand("anny")
    predict = oracle(hand)

    def broken(batch):
        batch.labels["pose"][1] = torch.nan
        return place_estimate(
            Estimate(
                HandParameters(batch.labels["global_orient"], batch.labels["pose"], batch.labels["shape"]),
                *measure_root(batch.labels["joints_cam"][:, 9], batch.K),
            ),
            batch.K,
            hand,
        )

    batches = open_batches(shards, range(2), hand_scale=2.0, image_px=SIDE, batch_size=2)
    surface = choose_surface(hand, truth_is_stand_in=True)
    with pytest.raises(DataError, match="SM1/0001: the prediction is not finite"):
        collect(batches, broken, surface, BENCHMARKS["freihand"], total=2)
    assert callable(predict)


def test_checkpoints_and_shards_are_found_or_named(write_shards, checkpoint_path, tmp_path):
    assert find_checkpoint(checkpoint_path) == checkpoint_path
    assert find_checkpoint(checkpoint_path.parent.parent) == checkpoint_path
    with pytest.raises(AssetError, match="expected a weight file, or the folder of a run"):
        find_checkpoint(tmp_path)
    write_shards(tmp_path / "train", "freihand", samples=1, split="train")
    with pytest.raises(DataError, match=r"no evaluation split of freihand .*found: freihand v2 train"):
        open_evaluation_shards(tmp_path, "freihand")
    with pytest.raises(DataError, match=r"no evaluation split of ho3d \(found: freihand v2 train\); .* with --data"):
        open_evaluation_shards(tmp_path, "ho3d")
    write_shards(tmp_path / "v2", "ho3d", samples=1)
    with pytest.raises(DataError, match="no evaluation split of ho3d v3"):
        open_evaluation_shards(tmp_path, "ho3d", version="v3")
    assert len(open_evaluation_shards(tmp_path, "ho3d", version="v2")) == 1


@pytest.fixture(scope="module")
def in_parts(evaluated, checkpoint_path, tmp_path_factory):
    """Return a folder with the same evaluation in three parts, one of which has nothing to do."""
    _, folder = evaluated
    parts = tmp_path_factory.mktemp("parts")
    for number in (3, 1, 2):
        options = RunOptions(batch_size=3)
        collect_part(checkpoint_path, "ho3d", Part(number, 3), parts, shards=folder / "shards", options=options)
    return parts


def test_parts_merged_are_one_run_to_the_last_byte(evaluated, in_parts, checkpoint_path, tmp_path):
    _, folder = evaluated
    options = RunOptions(batch_size=3)
    merged = evaluate_checkpoint(checkpoint_path, "ho3d", shards=folder / "shards", options=options, parts=in_parts)
    write_evaluation(tmp_path, merged)
    for name in ("metrics.json", "pred.zip", "samples.html", "pck.png"):
        assert (tmp_path / name).read_bytes() == (folder / "report" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda parts: (parts / "part-2-of-3.safetensors").unlink(),
            "missing parts: 2/3; run `hifihr eval --part I/3`",
        ),
        (
            lambda parts: [(parts / f"part-{number}-of-3.safetensors").unlink() for number in (1, 3)],
            "missing parts: 1/3, 3/3; run `hifihr eval --part I/3`",
        ),
        (
            lambda parts: (parts / "part-2-of-3.safetensors").write_bytes(b"x" * 40),
            r"part-2.*not a complete safetensors file",
        ),
        (lambda parts: (parts / "part-1-of-2.safetensors").touch(), "contains parts I/2 and I/3, expected"),
        (lambda parts: [path.unlink() for path in parts.iterdir()], "contains no parts"),
    ],
)
def test_parts_that_are_not_whole_are_named(evaluated, in_parts, checkpoint_path, tmp_path, change, said):
    _, folder = evaluated
    parts = shutil.copytree(in_parts, tmp_path / "parts")
    change(parts)
    options = RunOptions(batch_size=3)
    with pytest.raises(HifihrError, match=said):
        evaluate_checkpoint(checkpoint_path, "ho3d", shards=folder / "shards", options=options, parts=parts)


def test_parts_of_other_options_do_not_merge(evaluated, in_parts, checkpoint_path):
    _, folder = evaluated
    for options, said in (
        (RunOptions(batch_size=2), r"differs from this run \(batch_size\)"),
        (RunOptions("gt", limit=3, batch_size=3), r"\(samples, root\)"),
    ):
        with pytest.raises(DataError, match=said):
            evaluate_checkpoint(checkpoint_path, "ho3d", shards=folder / "shards", options=options, parts=in_parts)
