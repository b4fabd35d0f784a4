import pytest
import torch
from torch import Tensor, nn

from hifihr_core.eyes.layers import InvertedResidual, SameConv2d
from hifihr_core.lifting.quick_convolutions import quick_convolutions


def _gradients(layer: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Return output and gradients of a layer, for random output gradients."""
    layer.zero_grad()
    image = image.clone().requires_grad_(True)
    found = layer(image)
    weight = torch.rand(found.shape, generator=torch.Generator().manual_seed(1))
    (found * weight).sum().backward()
    assert image.grad is not None
    own = {name: one.grad.clone() for name, one in layer.named_parameters() if one.grad is not None}
    return {"output": found.detach(), "image": image.grad, **own}


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 7), (5, 1, 6), (5, 2, 8), (3, 2, 8)])
def test_depthwise_gradients_are_those_of_torch(kernel: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    layer = SameConv2d(70, 70, kernel, stride=stride, depthwise=True)
    image = torch.randn(2, 70, size, size)
    expected = _gradients(layer, image)
    with quick_convolutions():
        found = _gradients(layer, image)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4)


def test_pointwise_gradients_are_those_of_torch_in_half_the_bits() -> None:
    torch.manual_seed(0)
    layer, image = SameConv2d(40, 24, 1), torch.randn(2, 40, 5, 5)
    expected = _gradients(layer, image)
    with quick_convolutions():
        found = _gradients(layer, image)
    for name, value in expected.items():
        assert float((found[name] - value).norm()) < 0.01 * float(value.norm()), name


def test_a_block_learns_alike_and_torch_is_back_afterwards() -> None:
    torch.manual_seed(0)
    block, image = InvertedResidual(16, 64, 24, 5, 2), torch.rand(2, 16, 8, 8)
    expected, own = _gradients(block, image), SameConv2d.forward
    with quick_convolutions():
        assert SameConv2d.forward is not own
        found = _gradients(block, image)
    assert SameConv2d.forward is own
    for name, value in expected.items():
        assert float((found[name] - value).norm()) < 0.05 * float(value.norm()), name
