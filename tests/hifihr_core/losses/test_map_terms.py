"""Terms on joint maps: lowest at the truth, a gradient towards it, and no effect of missing labels."""

from dataclasses import replace

import pytest
import torch

from hifihr_core.losses import supervision  # noqa: F401  (fills the registry)
from hifihr_core.losses.terms import TERMS
from hifihr_core.models.joint_maps import read_maps, target_maps

NAMES = ("joint_maps", "keypoint_maps")
CELLS = 12


def with_maps(inputs, logits):
    found = read_maps(logits, torch.zeros(len(logits), 4, CELLS, CELLS))
    estimate = replace(inputs.prediction.estimate, keypoints=found)
    return replace(inputs, prediction=replace(inputs.prediction, estimate=estimate))


def true_logits(inputs):
    points = (inputs.labels["joints_px"] / inputs.image.shape[-1]).clamp(0.1, 0.9)
    return target_maps(points, height=CELLS, width=CELLS).clamp(min=1e-12).log()


@pytest.fixture
def inputs(make_inputs):
    """Return inputs whose joints are all well inside the crop."""
    made = make_inputs()
    inside = made.labels["joints_px"].clamp(0.1 * made.image.shape[-1], 0.9 * made.image.shape[-1])
    return replace(made, labels={**made.labels, "joints_px": inside, "keypoints_px": inside})


@pytest.mark.parametrize("name", NAMES)
def test_the_true_map_is_the_best_one(name, inputs):
    def loss(logits):
        ratio = TERMS[name].function(with_maps(inputs, logits))
        return (ratio.total.sum() / ratio.weight.sum()).item()

    truth = true_logits(inputs)
    generator = torch.Generator().manual_seed(0)
    for size in (0.1, 1.0):
        assert loss(truth) < loss(truth + size * torch.randn(truth.shape, generator=generator))
    assert loss(truth) < loss(torch.zeros_like(truth))


@pytest.mark.parametrize("name", NAMES)
def test_descending_brings_the_points_to_the_joints(name, inputs):
    logits = torch.zeros(3, 21, CELLS, CELLS, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        ratio = TERMS[name].function(with_maps(inputs, logits))
        (ratio.total.sum() / ratio.weight.sum()).backward()
        optimizer.step()
    found = with_maps(inputs, logits.detach()).prediction.estimate.keypoints
    truth = inputs.labels["joints_px"] / inputs.image.shape[-1]
    assert float((found.points - truth).norm(dim=-1).max()) < 0.02


def test_joints_outside_the_crop_and_samples_without_the_label_count_nothing(inputs):
    outside = inputs.labels["joints_px"].clone()
    outside[0, :5] = -10.0
    present = {**inputs.present, "joints_px": torch.tensor([True, True, False])}
    changed = replace(inputs, labels={**inputs.labels, "joints_px": outside}, present=present)
    ratio = TERMS["joint_maps"].function(with_maps(changed, true_logits(inputs)))
    assert ratio.weight.tolist() == [16.0, 21.0, 0.0]
    assert float(ratio.total[2]) == 0.0


def test_detected_keypoints_count_by_their_confidence(inputs):
    confidence = torch.zeros(3, 21)
    confidence[1, 3] = 0.25
    changed = replace(inputs, labels={**inputs.labels, "keypoints_confidence": confidence})
    assert TERMS["keypoint_maps"].function(with_maps(changed, true_logits(inputs))).weight.tolist() == [0.0, 0.25, 0.0]
