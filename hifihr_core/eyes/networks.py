"""The two networks of the eyes: a palm detector and a landmark network.

Both are MediaPipe's, ported from its release 0.10.21 (Apache-2.0, see NOTICE) by tools/port_eyes.py. The torch modules
here define them and can be trained on any device; for use on the CPU they are run in onnxruntime (`engine.py`).
"""

from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hifihr_core.errors import AssetError
from hifihr_core.eyes.layers import (
    BlazeBlock,
    Finer,
    InvertedResidual,
    PerAnchor,
    SameConv2d,
    Traced,
    channelwise,
    rows,
    widen,
)

Network = TypeVar("Network", bound=nn.Module)

PALM_PX = 192
LANDMARK_PX = 224

#: Sides of the anchor grids, and the number of anchors per cell, in the order of the output.
ANCHOR_GRIDS = ((24, 2), (12, 6))
#: A palm is a box (4) and seven points (14).
PALM_VALUES = 18

#: Inner width, output channels, kernel and stride of each inverted residual of the landmark network.
_LANDMARK_BLOCKS = (
    *((64, 24, 3, 2), (144, 24, 3, 1), (144, 40, 5, 2), (240, 40, 5, 1), (240, 80, 3, 2)),
    *((480, 80, 3, 1), (480, 80, 3, 1), (480, 112, 5, 1), (672, 112, 5, 1), (672, 112, 5, 1)),
    *((672, 192, 5, 2), (1152, 192, 5, 1), (1152, 192, 5, 1), (1152, 192, 5, 1)),
)


class PalmNetwork(nn.Module):
    """Detects palms in a square picture of `PALM_PX` pixels, RGB in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv2d(3, 32, 5, stride=2), nn.PReLU(32))
        self.grid_24 = nn.Sequential(_stage(32, 32, down=False), _stage(32, 64), _stage(64, 128))
        self.grid_12, self.grid_6 = _stage(128, 256), _stage(256, 256)
        self.finer_12 = Finer(256, 256)
        self.refine_12 = nn.Sequential(BlazeBlock(256, 256), BlazeBlock(256, 256))
        self.logits_12, self.palms_12 = _head(256, 6, 1), _head(256, 6, PALM_VALUES)
        self.finer_24 = Finer(256, 128)
        self.refine_24 = nn.Sequential(BlazeBlock(128, 128), BlazeBlock(128, 128))
        self.logits_24, self.palms_24 = _head(128, 2, 1), _head(128, 2, PALM_VALUES)

    def forward(self, picture: Traced) -> tuple[Traced, Traced]:
        """Return the palm at each of 2016 anchors, (B, 2016, 18), and the logit of its score, (B, 2016, 1).

        `picture` is (B, 3, 192, 192). A palm is the centre and size of a box, then seven points, in pixels; the centre
        and the points are relative to the anchor.
        """
        fine = self.grid_24(self.stem(picture))
        middle = self.grid_12(fine)
        at_12 = self.refine_12(self.finer_12(self.grid_6(middle), middle))
        at_24 = self.refine_24(self.finer_24(at_12, fine))
        palms = rows(self.palms_24(at_24), self.palms_12(at_12))
        return palms, rows(self.logits_24(at_24), self.logits_12(at_12))


class LandmarkNetwork(nn.Module):
    """Estimates the 21 joints of one upright hand in a square crop of `LANDMARK_PX` pixels, RGB in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        blocks, channels = [], 16
        for width, c_out, kernel, stride in _LANDMARK_BLOCKS:
            blocks.append(InvertedResidual(channels, width, c_out, kernel, stride))
            channels = c_out
        self.stem = nn.Sequential(
            SameConv2d(3, 24, 3, stride=2), nn.ReLU6(), channelwise(24, 3, 1), SameConv2d(24, 16, 1)
        )
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.Sequential(widen(192, 1152), channelwise(1152, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.right, self.presence = nn.Linear(1152, 1), nn.Linear(1152, 1)
        self.joints, self.metres = nn.Linear(1152, 63), nn.Linear(1152, 63)

    def forward(self, crop: Traced) -> tuple[Traced, Traced, Traced, Traced]:
        """Return joints (B, 63), metres (B, 63), presence (B, 1) and the probability of a right hand (B, 1).

        `crop` is (B, 3, 224, 224). A joint is (u, v, z) in pixels of the crop; z is relative to the wrist, and positive
        away from the camera. "Metres" are the joints in metres, relative to the centre of the hand, in the axes of the
        crop. Presence is the probability that the crop shows a hand.
        """
        seen = self.top(self.blocks(self.stem(crop)))
        return self.joints(seen), self.metres(seen), self.presence(seen).sigmoid(), self.right(seen).sigmoid()


#: The packaged file of each network.
SHIPPED = {PalmNetwork: "palm.safetensors", LandmarkNetwork: "landmarks.safetensors"}


def shipped_path(network: type[nn.Module]) -> Path:
    """Return the path of a network's packaged weights."""
    return Path(str(files("hifihr_core.eyes") / "data" / SHIPPED[network]))


def load_network(network: type[Network], path: Path | None = None) -> Network:
    """Return a network with its shipped weights, or those in `path`; float32, on the CPU, in evaluation mode.

    Raises: AssetError if the file is missing or belongs to another network.
    """
    path = path or shipped_path(network)
    if not path.is_file():
        raise AssetError(f"{path}: no such file, expected the weights of the eyes; reinstall hifihr")
    built = network()
    try:
        built.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[-1].strip().rstrip(".")
        raise AssetError(f"{path}: not the weights of {network.__name__} ({reason}); reinstall hifihr") from error
    return built.eval().requires_grad_(False)


def _stage(c_in: int, c_out: int, *, down: bool = True) -> nn.Sequential:
    first = [BlazeBlock(c_in, c_out, stride=2)] if down else []
    return nn.Sequential(*first, *(BlazeBlock(c_out, c_out) for _ in range(4)))


def _head(channels: int, anchors: int, values: int) -> nn.Sequential:
    return nn.Sequential(SameConv2d(channels, anchors * values, 1), PerAnchor(values))
