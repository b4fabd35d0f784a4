"""The interface of image networks: a module that maps crops to an `Estimate` and names its own parts.

The code for optimisation, freezing, starting weights, evaluation and prediction uses these parts and never inspects
tensor names, so a new network is one module and one row of `models/table.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.hands.contract import HandParameters
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.models.joint_maps import KeypointEstimate
from hifihr_core.records import Light

#: The parts of a network. "shape" may be empty, and so may "texture" and "light", which always come together.
PARTS = ("backbone", "geometry", "shape", "texture", "light")

#: The parts that only learn from rendering.
APPEARANCE = frozenset({"texture", "light"})

#: The parts that may be missing from starting weights: geometry is pretrained without them.
LATE = frozenset({"shape", "texture", "light"})


@dataclass(frozen=True)
class Estimate:
    """The output of a network for each crop.

    `parameters.global_orient` and `light.direction` are in the camera frame; `root_px` is the root joint in the crop,
    pixels, and `scale_px_per_m` the image scale at its depth (see `place_root`). `light` is None without a light head,
    `keypoints` without a keypoint head.
    """

    parameters: HandParameters
    root_px: Float[Tensor, "B 2"]
    scale_px_per_m: Float[Tensor, " B"]
    light: Light | None = None
    keypoints: KeypointEstimate | None = None


class ImageNetwork(nn.Module, ABC):
    """A network from crops and their cameras to hands; subclasses implement `forward` and `parts`."""

    @abstractmethod
    def forward(self, image: Float[Tensor, "B 3 H W"], K: Float[Tensor, "B 3 3"]) -> Estimate:
        """Estimate the hand in each crop; `image` is RGB in [0, 1], `K` the camera of the crop."""

    @abstractmethod
    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the modules of each part in `PARTS`; together they hold every parameter exactly once."""

    @property
    def has_appearance(self) -> bool:
        """Return whether the estimates include texture and light, which rendering needs."""
        parts = self.parts()
        return all(parts[name] for name in APPEARANCE)

    def own_lifter(self) -> Lifter | None:
        """Return the lifter inside the network, which may be initialised from a trained one; None if there is none."""
        return None

    def backbone_origin(self) -> str:
        """Return a description of where the backbone's initial weights come from."""
        return "none, random weights"

    def part_of(self) -> dict[str, str]:
        """Return a dict from the name of each tensor in the state dict to the part that it belongs to."""
        owner = {module: name for name, modules in self.parts().items() for module in modules}
        found: dict[str, str] = {}

        def walk(module: Any, prefix: str, part: str | None) -> None:
            part = owner.get(module, part)
            names = [*module._parameters, *module._buffers]
            found.update({prefix + name: part or "geometry" for name in names})
            for name, child in module.named_children():
                walk(child, f"{prefix}{name}.", part)

        walk(self, "", None)
        return found


def modules_of(*modules: nn.Module | None) -> tuple[nn.Module, ...]:
    """Return the modules that are not None."""
    return tuple(module for module in modules if module is not None)
