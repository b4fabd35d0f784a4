"""Terms on skin and light: the same picture from a different pair of the two has a cost."""

from dataclasses import replace

import pytest
import torch

from hifihr_core.errors import DataError
from hifihr_core.losses.look_terms import albedo, light
from hifihr_core.records import Light


def mean_of(ratio):
    return float(ratio.total.sum() / ratio.weight.sum())


def test_half_the_skin_under_twice_the_light_costs_in_both(make_inputs, estimate):
    """A difference that no photometric term can see."""
    dark = replace(estimate.parameters, texture=estimate.parameters.texture - 2.0)
    bright = Light(2 * estimate.light.ambient, 2 * estimate.light.color, estimate.light.direction)
    inputs = make_inputs(replace(estimate, parameters=dark, light=bright))
    assert mean_of(albedo(inputs)) > 0.02
    # ambient + color * max(n . l, 0), whose mean over the sphere is a quarter: 0.5 + 0.5 / 4 are missing
    assert mean_of(light(inputs)) == pytest.approx(0.625, abs=0.02)


def test_a_sky_is_part_of_the_light(make_inputs, estimate):
    sky = torch.zeros(3, 8, 3)
    sky[:, 1] = 0.1  # brighter on one side, darker on the other
    inputs = make_inputs()
    changed = replace(inputs, labels={**inputs.labels, "sky": sky})
    assert mean_of(light(changed)) == pytest.approx(0.1 * 3**0.5 / 2, rel=0.05)
    found = replace(estimate.light, sky=sky)
    assert mean_of(light(replace(changed, prediction=make_inputs(replace(estimate, light=found)).prediction))) < 1e-6


def test_a_sample_without_the_label_counts_nothing(make_inputs):
    inputs = make_inputs()
    present = {**inputs.present, "sky": torch.tensor([True, False, True])}
    assert light(replace(inputs, present=present)).weight.tolist() == [1, 0, 1]


def test_the_skin_of_another_hand_is_refused(make_inputs):
    inputs = make_inputs()
    foreign = {**inputs.labels, "texture": torch.zeros(3, 5)}
    with pytest.raises(DataError, match=r"label texture has 5 coefficients, expected .*loss.weights.albedo=0"):
        albedo(replace(inputs, labels=foreign))
