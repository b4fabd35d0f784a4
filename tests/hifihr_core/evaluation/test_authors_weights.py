"""The authors' converted weights, from the asset's file to scores and to a photo's hand."""

import numpy as np
import pytest
import torch

from hifihr_core.evaluation.checkpoint_job import RunOptions
from hifihr_core.evaluation.score_checkpoint import evaluate_checkpoint
from hifihr_core.models.checkpoint import load_checkpoint
from hifihr_core.photos.detectors import whole_image
from hifihr_core.prediction.load_models import load_models


@pytest.mark.parametrize("dataset", ["freihand", "ho3d"])
def test_they_run_through_both_benchmarks(dataset, authors_weights, write_shards, benchmarks, tmp_path):
    shards = write_shards(tmp_path / dataset, dataset, samples=2, synthetic=False, mano_stand_in=False)
    options = RunOptions(root="gt", batch_size=2)
    evaluation = evaluate_checkpoint(authors_weights, dataset, shards=shards, options=options)
    assert evaluation.document["protocol"]["samples"] == 2
    assert np.isfinite(evaluation.document["metrics"]["pa_mpjpe_mm"])
    assert evaluation.document["settings"]["model"]["ambient"] is False


def test_the_hand_of_a_benchmark_keeps_the_options_of_the_file(authors_weights):
    checkpoint = load_checkpoint(authors_weights)
    other = checkpoint.hand_with("ho3d")
    assert (other.joint_definition, other.pose_dim) == ("ho3d", checkpoint.hand.pose_dim)
    assert checkpoint.hand_with("freihand") is checkpoint.hand


def test_they_predict(authors_weights):
    from hifihr_core.prediction.predictor import Predictor

    models = load_models(authors_weights, device=torch.device("cpu"))
    assert models.lifter is None  # the shipped one is for another hand
    predictor = Predictor(models.hand, network=models.network, lifter=None, detector=whole_image)
    [hand] = predictor.predict(np.full((96, 96, 3), 120, dtype=np.uint8)).hands
    assert hand.joints_cam.shape == (21, 3)
    assert np.isfinite(hand.joints_cam).all()
