"""Keypoints from an image: one map per joint over a small pyramid, read out by soft-argmax.

A map scores every position in the crop, so each image gives thousands of training signals, whereas pooled regression
gets only a few; even a randomly initialised network learns from the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.skeleton import NUM_JOINTS

#: Standard deviation of the target around a joint, and so the smallest spread of a confident map, relative to the crop.
TARGET_SIGMA = 0.05

#: Half the size of a hand relative to its crop: the unit of a lifter's noise.
HALF_HAND = 0.35


@dataclass(frozen=True)
class KeypointEstimate:
    """21 joints found in a crop.

    `points` are fractions of the crop, (0, 0) its upper left corner and (1, 1) its lower right one; `logits` are the
    maps they were read from, `confidence` in (0, 1] decreases with the spread of a map, and `features` are the
    network's features at each joint.
    """

    points: Float[Tensor, "B 21 2"]
    confidence: Float[Tensor, "B 21"]
    logits: Float[Tensor, "B 21 h w"]
    features: Float[Tensor, "B 21 C"]


class KeypointHead(nn.Module):
    """Merges a pyramid of maps, coarse into fine, and reads out 21 joints from the finest (Sun et al., ECCV 2018)."""

    def __init__(self, dims: Sequence[int], *, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.lateral = nn.ModuleList(nn.Conv2d(dim, width, 1) for dim in dims)
        self.smooth = nn.Sequential(*_convolution(width), *_convolution(width))
        self.maps = nn.Conv2d(width, NUM_JOINTS, 1)

    def forward(self, pyramid: Sequence[Float[Tensor, "B _ _ _"]]) -> KeypointEstimate:
        """Find the joints; `pyramid` runs from fine to coarse."""
        merged = self.lateral[-1](pyramid[-1])
        for lateral, level in zip(reversed(self.lateral[:-1]), reversed(pyramid[:-1]), strict=True):
            merged = F.interpolate(merged, size=level.shape[-2:], mode="bilinear", align_corners=False) + lateral(level)
        merged = self.smooth(merged)
        return read_maps(self.maps(merged).float(), merged.float())


def read_maps(logits: Float[Tensor, "B 21 h w"], features: Float[Tensor, "B C h w"]) -> KeypointEstimate:
    """Return the mean position of every map, its confidence, and the features there; gradients reach the maps."""
    share = logits.flatten(2).softmax(dim=-1)
    places = map_places(*logits.shape[-2:]).to(logits)
    points = share @ places
    variance = (share @ places.square() - points.square()).sum(dim=-1)
    excess = (variance - 2 * TARGET_SIGMA**2).clamp(min=1e-8).sqrt()
    return KeypointEstimate(
        points=points,
        confidence=torch.exp(-excess / HALF_HAND),
        logits=logits,
        features=share.detach() @ features.flatten(2).mT,
    )


def map_places(height: int, width: int) -> Float[Tensor, "N 2"]:
    """Return (x, y) of every cell's centre in fractions of the crop, row by row."""
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(-1, 2)


def target_maps(points: Float[Tensor, "B 21 2"], *, height: int, width: int) -> Float[Tensor, "B 21 h w"]:
    """Return maps that sum to 1: a Gaussian around each joint, which must be inside the crop."""
    places = map_places(height, width).to(points)
    squared = (places - points[:, :, None]).square().sum(dim=-1)
    return torch.softmax(-squared / (2 * TARGET_SIGMA**2), dim=-1).unflatten(-1, (height, width))


def _convolution(width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
