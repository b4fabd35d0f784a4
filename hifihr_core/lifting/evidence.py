"""Evidence about a hand beyond its keypoints, and the network that encodes it for the lifter.

Different hands can have the same 21 points in a picture. The depths and rough 3D joints of the eyes (the built-in
detector) and the features of the hand network distinguish them. How far the eyes' looks (their estimates from several
perturbed crops) differ from each other, and from the hand network's own joints, indicates which points are unreliable.
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

    `spread_px` is the sample standard deviation (n - 1) of a joint over the eyes' looks, per axis, and `depth_px`
    the depth of each joint relative to the wrist, both in pixels of the keypoints' picture. `metres` are the joints
    relative to the centre of the hand, in the axes of that picture. `features` are the hand network's pooled features,
    from an upright crop of a right hand, and `second_px` are its own joints in the keypoints' picture.
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

    The vector of an untrained reader is zero, because its last layer is.
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

        The virtual camera of `pattern` is rotated relative to the picture: slightly towards the hand, which is ignored
        here, and by its roll, which is applied to all vectors.
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
