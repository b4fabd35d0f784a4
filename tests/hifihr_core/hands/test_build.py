"""The table of hand models: names, bases, and the same contract for all three."""

import pytest
import torch

from hifihr_core.errors import AssetError
from hifihr_core.hands import HAND_NAMES, load_hand
from hifihr_core.hands.build import _TABLE

ROWS = [(name, basis, joints) for name in HAND_NAMES for basis in _TABLE[name].bases for joints in ("freihand", "ho3d")]


@pytest.fixture(scope="module")
def options(mano_path, nimble_path):
    return {"anny": {}, "mano": {"path": mano_path}, "nimble": {"path": nimble_path, "mano_path": mano_path}}


@pytest.mark.parametrize(("name", "basis", "joints"), ROWS)
def test_every_row_keeps_the_contract(options, name, basis, joints):
    model = load_hand(name, pose_basis=basis, joints=joints, **options[name])
    parameters = model.sample_parameters(2, generator=torch.Generator().manual_seed(0))
    hand = model(parameters)
    assert (model.name, model.pose_basis, model.joint_definition, model.side) == (name, basis, joints, "right")
    assert hand.vertices.shape == (2, model.num_vertices, 3)
    assert (hand.mano_vertices is not None) == model.has_mano_vertices
    assert hand.joints[:, 9].abs().max() < 1e-6
    assert model.pose_prior().limits.shape == (model.pose_dim, 2)
    assert int(model.faces.max()) < model.num_vertices
    albedo = hand.appearance.albedo
    assert torch.isfinite(albedo).all()
    assert float(albedo.min()) >= 0
    assert float(albedo.max()) <= 1
    assert (model.uvs is None) == (hand.appearance.uvs is None) == (model.faces_uvs is None)
    assert not any(tensor.requires_grad for tensor in model.buffers())
    assert model.to(torch.float64)(model.mean_parameters()).vertices.dtype == torch.float64


def test_unknown_names():
    with pytest.raises(ValueError, match="known models: anny, mano, nimble"):
        load_hand("smplx")
    with pytest.raises(ValueError, match="not one of mano's: axis_angle, pca"):
        load_hand("mano", pose_basis="anatomical")


def test_missing_asset_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIHR_HOME", str(tmp_path))
    with pytest.raises(AssetError, match="hifihr assets import mano-right"):
        load_hand("mano")
