"""The table of hand models: names, bases, and the same contract for all three."""

import pytest
import torch

from hifihr_core.errors import AssetError
from hifihr_core.hands import HAND_NAMES, load_hand
from hifihr_core.hands.table import HANDS

ROWS = [(name, basis, joints) for name in HAND_NAMES for basis in HANDS[name].bases for joints in ("freihand", "ho3d")]


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
    with pytest.raises(ValueError, match="expected one of anny, mano, nimble"):
        load_hand("smplx")
    with pytest.raises(ValueError, match="for mano, expected axis_angle or pca"):
        load_hand("mano", pose_basis="anatomical")


@pytest.mark.parametrize("name", HAND_NAMES)
def test_every_option_of_the_table_is_the_builder_s(options, name):
    values = {
        "centred": False,
        "dtype": torch.float64,
        "flat_hand": True,
        "mano_path": options["nimble"]["mano_path"],
        "num_components": 2,
        "texture_px": 64 if name == "anny" else 4,
    }
    whole = {option: values[option] for option in HANDS[name].options}
    model = load_hand(name, path=options[name].get("path"), **whole)
    assert model(model.mean_parameters()).vertices.dtype == whole.get("dtype", torch.float32)


@pytest.mark.parametrize(
    ("name", "option", "known"),
    [
        ("mano", "texture_px", "flat_hand, num_components, centred, dtype"),
        ("anny", "num_components", "texture_px"),
        ("nimble", "flat_hand", "num_components, texture_px, mano_path, dtype"),
    ],
)
def test_an_unknown_option_is_named_before_any_file_is_read(name, option, known):
    with pytest.raises(ValueError, match=f"{name} has no option {option}; its options: {known}$"):
        load_hand(name, **{option: 1})


def test_a_missing_asset_names_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIHR_HOME", str(tmp_path))
    with pytest.raises(AssetError, match="hifihr assets import mano-right"):
        load_hand("mano")


def test_published_files_are_read_as_assets_import_reads_them(mano_pickle, mano_path, nimble_folder, nimble_path):
    raw, converted = load_hand("mano", path=str(mano_pickle)), load_hand("mano", path=str(mano_path))
    mean = raw.mean_parameters(1)
    assert torch.equal(raw(mean).vertices, converted(mean).vertices)
    raw = load_hand("nimble", path=str(nimble_folder), joints="ho3d")
    converted = load_hand("nimble", path=nimble_path, joints="ho3d")
    mean = raw.mean_parameters(1)
    assert torch.equal(raw(mean).vertices, converted(mean).vertices)
    with pytest.raises(AssetError, match=r"none\.pkl"):
        load_hand("mano", path="none.pkl")
