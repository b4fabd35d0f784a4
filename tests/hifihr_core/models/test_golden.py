"""Weight files of the release of November 2026 still give the same outputs.

The outputs were recorded on one machine, where they come out bit-identical; elsewhere convolutions and matrix products
sum in a different order, so the test allows for that: 2e-5 of the largest number of an output.
"""

import numpy as np
import pytest
import torch

from hifihr_core.models.checkpoint import load_checkpoint, save_weights
from hifihr_core.models.placing import build_renderer, place_estimate
from hifihr_core.models.shipped import IMAGE_NETWORK, shipped_model


@pytest.fixture
def check(golden_recipe):
    """Return ``check(path, "run")``: compare a weight file's outputs with the golden ones."""

    def compare(path, name):
        checkpoint = load_checkpoint(path)
        found = golden_recipe.outputs(checkpoint, place_estimate, build_renderer)
        expected = dict(np.load(golden_recipe.GOLDEN / f"{name}.npz"))
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=0, atol=2e-5 * np.abs(value).max(), err_msg=key)
        return checkpoint

    return compare


def test_the_shipped_network(check):
    assert check(shipped_model(IMAGE_NETWORK), "shipped").hand.name == "anny"


def test_a_checkpoint_of_a_run(check, golden_recipe, tmp_path):
    facts, shapes = golden_recipe.described("run")
    assert '"drop_path":0.0' in facts["settings"]  # a setting of that release that is gone
    save_weights(tmp_path / "run.safetensors", golden_recipe.fill(shapes), facts)
    assert check(tmp_path / "run.safetensors", "run").step == 2


def test_the_authors_weights(check, authors_weights):
    checkpoint = check(authors_weights, "t7")
    assert not checkpoint.settings.model.ambient
    assert checkpoint.hand.pose_dim == 27


def test_the_recipe_depends_on_names_alone(golden_recipe):
    shapes = {"a.weight": ["float32", 2, 3], "b.running_var": ["float32", 4], "c.num_batches_tracked": ["int64"]}
    first, again = golden_recipe.fill(shapes), golden_recipe.fill({name: shapes[name] for name in reversed(shapes)})
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert golden_recipe.shapes_of(first) == shapes
