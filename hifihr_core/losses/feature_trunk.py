"""The network whose features the perceptual term compares: VGG19 up to conv3_3, before its ReLU, as in the paper."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.errors import AssetError
from hifihr_core.outside.torch_files import read_torch_file

#: Asset with torchvision's ImageNet weights.
PERCEPTUAL_ASSET = "vgg19"

#: Number of layers in torchvision's `features` that are kept.
NUM_LAYERS = 15


class Trunk(nn.Module):
    """A fixed network that computes deep features of RGB in [0, 1], after normalising it with ImageNet's statistics."""

    mean: Tensor
    std: Tensor

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Return the feature maps of RGB in [0, 1]."""
        return self.layers((image - self.mean) / self.std)


def load_perceptual(path: Path) -> Trunk:
    """Build the network from torchvision's VGG19 weights. Raises: AssetError if the file does not contain them."""
    from torchvision.models import vgg19

    with torch.device("meta"):  # only shapes: the full network has half a gigabyte of unused weights
        layers = vgg19(weights=None, init_weights=False).features[:NUM_LAYERS]
    what, remedy = "VGG19 weights from torchvision", f"run `hifihr assets fetch {PERCEPTUAL_ASSET}` again"
    state = read_torch_file(path, what=what, remedy=remedy)
    try:
        layers.load_state_dict({name: state[f"features.{name}"] for name in layers.state_dict()}, assign=True)
    except (LookupError, RuntimeError, TypeError) as error:
        raise AssetError(f"{path}: not {what} ({type(error).__name__}); {remedy}") from error
    return Trunk(layers)
