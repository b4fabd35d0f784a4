"""The authors' files: tensors in their layout are mapped; hostile and foreign files are rejected."""

from argparse import Namespace
from collections import OrderedDict
from itertools import pairwise

import pytest
import torch
from torch import nn

from hifihr_core.errors import AssetError, UnsafePickleError
from hifihr_core.models.encoders import build_encoder
from hifihr_core.models.legacy import convert_t7, load_t7
from hifihr_core.weight_files import read_facts, read_tensors


def head(*sizes: int) -> nn.Sequential:
    layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class HandEncoder(nn.Module):
    """The published layout: shared layers, then one head per parameter; two heads are unused."""

    def __init__(self) -> None:
        super().__init__()
        self.base_layers = nn.Sequential(
            *(nn.Linear(1536, 1024), nn.BatchNorm1d(1024), nn.ReLU()),
            *(nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.ReLU()),
        )
        self.pose_reg, self.shape_reg, self.tex_reg = head(512, 128, 30), head(512, 128, 20), head(512, 128, 10)
        self.trans_reg = nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 32), nn.Linear(32, 3))


class LightEstimator(nn.Module):
    """The published layout for a tap of 32 x 56 x 56."""

    def __init__(self) -> None:
        super().__init__()
        self.base_layers = nn.Sequential(
            *(nn.Conv2d(32, 48, 1, stride=4), nn.ReLU(), nn.Conv2d(48, 48, 3), nn.ReLU()),
            *(nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(48, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.light_reg = head(256, 64, 6)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a file in the published layout, and the modules that made it."""
    torch.manual_seed(0)
    encoder, hand, light = (
        build_encoder("tf_efficientnet_b3", normalize=False).eval(),
        HandEncoder().eval(),
        LightEstimator(),
    )
    renamed = OrderedDict((f"encoder.tensor_{n}", v) for n, v in enumerate(without_counters(encoder.backbone)))
    renamed["encoder._fc.weight"], renamed["encoder._fc.bias"] = torch.zeros(1000, 1536), torch.zeros(1000)
    path = tmp_path_factory.mktemp("t7") / "texturehand_latest.t7"
    state = {
        "args": Namespace(pretrain="effb3", use_mean_shape=False, render=True, lr_steps=[80, 160]),
        "epoch": 3,
        "optimizer": torch.optim.Adam(light.parameters()).state_dict(),
        "base_encoder": renamed,
        "hand_encoder": hand.state_dict(),
        "light_estimator": light.state_dict(),
    }
    torch.save(state, path)
    return path, encoder, hand, light.eval()


def without_counters(module: nn.Module) -> list[torch.Tensor]:
    return [value for name, value in module.state_dict().items() if not name.endswith("num_batches_tracked")]


@torch.no_grad()
def test_heads_equal_the_original_layout(published):
    path, encoder, hand, light = published
    image = torch.rand(2, 3, 224, 224)
    raw = load_t7(path).raw(image)
    features, low = encoder(image)
    shared = hand.base_layers(features)
    assert torch.allclose(torch.cat((raw["global_orient"], raw["pose"]), 1), hand.pose_reg(shared), atol=1e-5)
    assert torch.allclose(raw["shape"], hand.shape_reg(shared), atol=1e-5)
    assert torch.allclose(raw["texture"], hand.tex_reg(shared), atol=1e-5)
    assert torch.allclose(raw["light"], light.light_reg(light.base_layers(low).flatten(1)), atol=1e-5)
    assert not raw["root"].any()


def test_conversion_keeps_every_tensor(published, tmp_path):
    path = published[0]
    convert_t7(path, tmp_path / "converted.safetensors")
    facts, tensors = read_facts(tmp_path / "converted.safetensors"), read_tensors(tmp_path / "converted.safetensors")
    assert (facts["hand"], facts["hand_options"]) == ("nimble", '{"num_components": 27}')
    expected = load_t7(path).state_dict()
    assert all(torch.equal(value, tensors[name]) for name, value in expected.items())


def test_a_hostile_file_is_refused_and_nothing_runs(tmp_path):
    class Attack:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"args": Attack()}, tmp_path / "attack.t7")
    with pytest.raises(UnsafePickleError, match="refers to more than plain data; nothing in it was run"):
        load_t7(tmp_path / "attack.t7")


def test_other_files_are_named(published, tmp_path):
    (tmp_path / "text.t7").write_text("not a checkpoint")
    with pytest.raises(AssetError, match=r"text\.t7"):
        load_t7(tmp_path / "text.t7")
    torch.save({"epoch": 1}, tmp_path / "other.t7")
    with pytest.raises(AssetError, match="not a checkpoint of HiFiHR, expected a dict with args, base_encoder"):
        load_t7(tmp_path / "other.t7")
    state = torch.load(published[0], weights_only=False)
    state["base_encoder"].popitem(last=False)
    torch.save(state, tmp_path / "short.t7")
    with pytest.raises(AssetError, match="493 tensors, expected the 494 of EfficientNet-B3"):
        load_t7(tmp_path / "short.t7")
