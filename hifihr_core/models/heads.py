"""Heads: small networks from features to named parameters; their sizes are those of the paper."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.records import Light

#: Side of the light head's input map; the shallow tap is downsampled to it.
LIGHT_MAP_PX = 14

#: Upper limit of light colours; above 1, so that bright photos are within reach.
MAX_COLOR = 1.5

#: Width of the features shared by all branches.
TRUNK_DIM = 512

#: Direction from the hand to the camera, camera frame.
TOWARDS_CAMERA = (0.0, 0.0, -1.0)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that falls back to its running statistics on a batch of one, which has no variance."""

    def forward(self, input: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """Normalise each channel over the batch."""
        if self.training and input.shape[0] == 1 and self.running_mean is not None:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)


NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "batch": BatchNorm,
    "layer": nn.LayerNorm,
    "none": lambda width: nn.Identity(),
}


def trunk(feature_dim: int, *, norm: str = "batch") -> nn.Sequential:
    """Return the layers shared by pose, shape, texture and root: features -> 1024 -> 512."""
    if norm not in NORMS:
        raise ValueError(f"unknown norm {norm!r}, expected one of {', '.join(NORMS)}")
    layers: list[nn.Module] = []
    for width_in, width in ((feature_dim, 1024), (1024, TRUNK_DIM)):
        layers += [nn.Linear(width_in, width), NORMS[norm](width), nn.ReLU()]
    return _kaiming(nn.Sequential(*layers))


def branch(out: int, *, start: Float[Tensor, " N"] | None = None) -> nn.Sequential:
    """Return the layers 512 -> 128 -> `out`; given `start`, they initially output about `start` for every image."""
    layers = _kaiming(nn.Sequential(nn.Linear(TRUNK_DIM, 128), nn.ReLU(), nn.Linear(128, out)))
    if start is not None:
        last = layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=1e-2)
        with torch.no_grad():
            last.bias.copy_(start)
    return layers


class LightHead(nn.Module):
    """Ambient colour, light colour and direction from the shallow feature map.

    The paper's head estimates light colour and direction, with constant ambient light; `ambient` adds its colour.
    """

    def __init__(self, low_dim: int, *, ambient: bool = True) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(low_dim, 48, 1),
            nn.ReLU(),
            nn.Conv2d(48, 48, 3),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(48, 64, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.linear = _kaiming(nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 9 if ambient else 6)))

    def forward(self, low: Float[Tensor, "B C h w"]) -> Float[Tensor, "B N"]:
        """Return the raw numbers: light colour, direction and, if the head has it, ambient colour."""
        # Nearest sampling of a 56 or 28 px map picks the pixels of the paper's strided 1 x 1 convolution.
        low = F.interpolate(low, size=(LIGHT_MAP_PX, LIGHT_MAP_PX), mode="nearest")
        return self.linear(self.convolutions(low).flatten(1))


def bounded_light(raw: Float[Tensor, "B N"]) -> Light:
    """Turn the light head's numbers into a valid light: colours in (0, `MAX_COLOR`), a unit direction.

    Zeros mean white light of half brightness from the direction of the camera, plus ambient light of half brightness.
    """
    start = torch.logit(raw.new_tensor(0.5 / MAX_COLOR))
    color = MAX_COLOR * torch.sigmoid(raw[:, :3] + start)
    ambient = MAX_COLOR * torch.sigmoid(raw[:, 6:9] + start) if raw.shape[1] == 9 else torch.full_like(color, 0.5)
    direction = F.normalize(raw[:, 3:6] + raw.new_tensor(TOWARDS_CAMERA), dim=-1, eps=1e-6)
    return Light(ambient=ambient, color=color, direction=direction)


def paper_light(raw: Float[Tensor, "B N"]) -> Light:
    """Turn the light head's numbers into a light as the original does: colours clamped to [0, 1], any direction.

    The original's renderer uses ambient light of 0.5 and material factors of 0.8, and normalises the direction.
    """
    color = raw[:, :3].clamp(0, 1)
    direction = F.normalize(raw[:, 3:6], dim=-1, eps=1e-6)
    return Light(ambient=torch.full_like(color, 0.5), color=color, direction=direction)


#: Functions that turn raw numbers into a light.
LIGHTS = {"bounded": bounded_light, "paper": paper_light}


def _kaiming(layers: nn.Sequential) -> nn.Sequential:
    """Initialise as the paper does: Kaiming normal for linear layers, zero bias."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return layers
