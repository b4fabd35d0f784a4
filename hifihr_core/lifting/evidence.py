"""Evidence about a hand beyond its keypoints, and the network that encodes it for the lifter.

Different hands can have the same 21 points in a picture. The landmark network's depths and rough metres, and the hand
network's features, distinguish them; the spread of the eyes' looks and a second opinion show which points to doubt.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.geometry.rays import RayPattern
from hifihr_core.placed_hands import map_tensors

#: Number of pooled features of the hand network.
FEATURES = 1152
#: The reader's unit for the landmark network's metres: about half a hand.
_HALF_HAND_M = 0.08
_NARROW = 192
_NUM_NUMBERS = 21 + 21 + 63 + 42


@dataclass(frozen=True)
class Evidence:
    """The eyes' and the hand network's output for right (or mirrored left) hands, beyond keypoints.

    `spread_px` is the standard deviation (of n - 1) of the looks at a joint along an axis, `depth_px` is the depth of
    each joint relative to the wrist, both in pixels of the keypoints' picture. `metres` are the joints relative to the
    centre of the hand, in the axes of that picture. `features` and `second_px` are the hand network's pooled features
    and its own joints, from an upright crop of a right hand.
    """

    spread_px: Float[Tensor, "B 21"]
    depth_px: Float[Tensor, "B 21"]
    metres: Float[Tensor, "B 21 3"]
    features: Float[Tensor, "B F"]
    second_px: Float[Tensor, "B 21 2"]

    def to(self, device: torch.device) -> "Evidence":
        """Return the same evidence on another device."""
        return map_tensors(lambda values: values.to(device), self)


class EvidenceReader(nn.Module):
    """Encodes evidence as a vector that the lifter adds to its first hidden layer.

    An untrained one contributes nothing: its last layer is zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.LayerNorm(FEATURES), nn.Linear(FEATURES, _NARROW))
        self.mix = nn.Sequential(nn.Linear(_NARROW + _NUM_NUMBERS, width), nn.GELU())
        self.last = nn.Linear(width, width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self,
        evidence: Evidence,
        keypoints_px: Float[Tensor, "B 21 2"],
        pattern: RayPattern,
        half_px: Float[Tensor, " B"],
    ) -> Float[Tensor, "B W"]:
        """Return the context vector of each hand; `half_px` is half the size of its keypoints' box, pixels.

        The axes of the picture differ from those of the virtual camera by a small turn towards the hand, which does not
        matter here, and by its roll, which does.
        """
        half = half_px[:, None, None]
        numbers = (
            (evidence.spread_px / half_px[:, None]).clamp_max(1.0),
            (evidence.depth_px / half_px[:, None]).clamp(-4.0, 4.0),
            _rolled(evidence.metres[..., :2], pattern).flatten(1) / _HALF_HAND_M,
            evidence.metres[..., 2] / _HALF_HAND_M,
            _rolled((evidence.second_px - keypoints_px) / half, pattern).clamp(-1.0, 1.0).flatten(1),
        )
        return self.last(self.mix(torch.cat((self.narrow(evidence.features), *numbers), dim=1)))


def _rolled(vectors: Float[Tensor, "B 21 2"], pattern: RayPattern) -> Float[Tensor, "B 21 2"]:
    return torch.einsum("bij,bnj->bni", pattern.roll, vectors)
