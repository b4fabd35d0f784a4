"""LPIPS with a pretrained trunk from the asset cache; the package `lpips` itself would download the trunk."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.errors import AssetError
from hifihr_core.outside.torch_files import read_torch_file

#: (picture, truth), RGB in [0, 1] -> one distance per sample.
Lpips = Callable[[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"]], Float[Tensor, " B"]]

#: Supported LPIPS networks, and the asset of each one's trunk.
LPIPS_ASSETS = {"alex": "lpips-alex", "vgg": "lpips-vgg"}
#: Minimum size of pictures, since AlexNet's strides leave nothing of smaller ones.
LPIPS_MIN_PX = 64


def load_lpips(trunk: Path, *, net: str = "alex", device: torch.device | str = "cpu") -> Lpips:
    """Build LPIPS v0.1 from a file with torchvision's ImageNet weights of its trunk, AlexNet or VGG16.

    The calibrated linear layers on top of the trunk are part of the package `lpips`. Raises: AssetError if the file
    does not contain every weight of the trunk.
    """
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision warns about lpips's way of requesting an untrained trunk
        model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    what, remedy = (
        f"torchvision's weights for the trunk of LPIPS-{net}",
        f"run `hifihr assets fetch {LPIPS_ASSETS[net]}` again",
    )
    state = read_torch_file(trunk, what=what, remedy=remedy)
    try:
        known = model.net.state_dict()
        # lpips splits `features` into slices but keeps the layer numbers: slice2.3.weight is features.3.weight.
        model.net.load_state_dict({name: state[f"features.{name.split('.', 1)[1]}"] for name in known})
    except (LookupError, RuntimeError, TypeError) as error:
        raise AssetError(f"{trunk}: not {what} ({type(error).__name__}); {remedy}") from error
    model = model.to(device).eval().requires_grad_(False)

    def distance(picture: Tensor, truth: Tensor) -> Tensor:
        return model(picture, truth, normalize=True).flatten()

    return distance
