"""The trunk of the perceptual term, from a file of the right form with random numbers."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import vgg19

from hifihr_core.errors import AssetError
from hifihr_core.losses.feature_trunk import NUM_LAYERS, load_perceptual
from hifihr_core.losses.terms import TERMS


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a file with the trunk's part of torchvision's state dict."""
    with torch.device("meta"):
        shapes = vgg19(weights=None, init_weights=False).features[:NUM_LAYERS].state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {f"features.{n}": 0.05 * torch.randn(v.shape, generator=generator) for n, v in shapes.items()}
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return path


def test_the_first_layer_sees_colours_as_imagenet_has_them(weights):
    trunk = load_perceptual(weights)
    state = torch.load(weights, weights_only=True)
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    centred = (image - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    expected = F.conv2d(centred, state["features.0.weight"], state["features.0.bias"], padding=1)
    assert torch.allclose(trunk.layers[0]((image - trunk.mean) / trunk.std), expected, atol=1e-5)
    assert trunk(image).shape == (1, 256, 4, 4)
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


def test_the_last_layer_is_not_rectified(weights):
    assert float(load_perceptual(weights)(torch.rand(1, 3, 16, 16)).min()) < 0


def test_the_term_is_zero_for_the_photo_itself_and_pulls_towards_it(weights, make_inputs):
    inputs = replace(make_inputs(rendered=True), perceptual=load_perceptual(weights))
    term = TERMS["perceptual"].function
    assert float(term(inputs).total.detach().max()) < 1e-6
    darker = replace(inputs, image=0.5 * inputs.image)
    assert float(term(darker).total.detach().min()) > 1e-4


def test_another_file_is_refused(tmp_path):
    (tmp_path / "text.pth").write_bytes(b"no weights")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for name in ("text.pth", "other.pth", "absent.pth"):
        expected = r"(not|expected) VGG19 weights from torchvision.*; run `hifihr assets fetch vgg19` again"
        with pytest.raises(AssetError, match=expected):
            load_perceptual(tmp_path / name)
