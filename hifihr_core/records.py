"""Records passed between the parts of the package: light, appearance and batches, and those of `samples.py`.

Axis letters, everywhere: B batch, V vertices, F faces, J joints (21), N points, C channels, H W rows and columns,
T rows and columns of a texture, P pose, S shape and X texture coefficients.
Frames and units are those of docs/conventions.md: OpenCV camera, metres, radians, RGB in [0, 1], a right hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hifihr_core.samples import LABELS, Label, Sample, Side

__all__ = ["LABELS", "Appearance", "Batch", "Label", "Light", "Sample", "Side"]


@dataclass(frozen=True)
class Light:
    """The light of each picture: ambient and directional, and optionally a sky whose light depends on direction.

    `ambient` and `color` (of the directional light) are RGB; `direction` is the unit vector from the surface towards
    the light, camera frame. `sky` has eight coefficients per channel, the first and second order of spherical harmonics
    of the surface normal (camera frame; `sky_basis` defines them); with `ambient` as the constant term they are the
    usual nine coefficients. None means a uniform sky.
    """

    ambient: Float[Tensor, "B 3"]
    color: Float[Tensor, "B 3"]
    direction: Float[Tensor, "B 3"]
    sky: Float[Tensor, "B 8 3"] | None = None

    @classmethod
    def from_numbers(cls, numbers: Float[Tensor, "B 9"], sky: Float[Tensor, "B 8 3"] | None = None) -> "Light":
        """Return the light from rows of the label `light` (ambient, colour, direction), and of `sky`."""
        ambient, color, direction = numbers.split(3, dim=1)
        return cls(ambient, color, direction, sky)

    @property
    def numbers(self) -> Float[Tensor, "B 9"]:
        """Return the light, without its sky, in the form of the label `light`."""
        return torch.cat((self.ambient, self.color, self.direction), dim=1)


@dataclass(frozen=True)
class Appearance:
    """The albedo of hands, RGB in [0, 1]: a map on a UV chart, or one colour per vertex.

    With a chart, `albedo` is (B, 3, T, T), row 0 at the top (v = 1), and corner c of face f samples it at
    ``uvs[faces_uvs[f, c]]``, origin bottom-left. Without, `albedo` is (B, V, 3), and both chart fields are None.
    """

    albedo: Float[Tensor, "B 3 T T"] | Float[Tensor, "B V 3"]
    uvs: Float[Tensor, "N 2"] | None = None
    faces_uvs: Int[Tensor, "F 3"] | None = None


@dataclass(frozen=True)
class Batch:
    """A batch for training and evaluation: crops, their cameras, and the labels that a supervision level may read.

    Concretely, ``labels["joints_cam"][b]`` is meaningful where ``present["joints_cam"][b]``; elsewhere it is 0.
    A label that no sample in the batch has is not in `labels`. K and labels are those of the crop.
    """

    image: Float[Tensor, "B 3 H W"]
    K: Float[Tensor, "B 3 3"]
    keys: tuple[str, ...]
    sides: tuple[Side, ...]
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    present: Mapping[str, Bool[Tensor, " B"]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of crops."""
        return self.image.shape[0]
