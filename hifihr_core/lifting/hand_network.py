"""The hand network: the last blocks of the eyes' landmark network, fine-tuned, and a lifter that reads their output.

The first blocks are unchanged, so they stay in the eyes' file; the hand network's file has only the rest.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.eyes.layers import Traced
from hifihr_core.eyes.networks import LANDMARK_PX, LandmarkNetwork, load_network
from hifihr_core.hands import HandModel
from hifihr_core.lifting.lifter import Lifter, build_lifter, check_hand, is_for_hand
from hifihr_core.weight_files import read_facts, read_tensors, write_tensors

FORMAT = "hifihr-hand-network"
FORMAT_VERSION = "1"

#: Number of frozen blocks of the landmark network; files of the first edition begin with block `_FIRST_EDITION`.
FROZEN_BLOCKS = 7
_FIRST_EDITION = "10"


class HandNetwork(nn.Module):
    """Lifts a hand from the feature map of the eyes' first blocks, computed on an upright crop of a right hand."""

    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        own = LandmarkNetwork()
        self.blocks = nn.Sequential(*list(own.blocks)[FROZEN_BLOCKS:])
        self.top, self.joints = own.top, own.joints
        self.lifter = lifter

    def see(
        self, body: Float[Tensor, "B C h w"], T_crop_photo: Float[Tensor, "B 3 3"]
    ) -> tuple[Float[Tensor, "B 21 2"], Float[Tensor, "B F"]]:
        """Return the joints in pixels of the original picture, and the pooled features, from feature maps `body`."""
        features = self.top(self.blocks(body))
        crop_px = self.joints(features).unflatten(1, (21, 3))[..., :2]
        return to_photo(crop_px, T_crop_photo), features


def to_photo(crop_px: Float[Tensor, "B 21 2"], T_crop_photo: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B 21 2"]:
    """Map points from pixels of the crop to pixels of the original picture."""
    T_photo_crop = torch.linalg.inv(T_crop_photo)
    return crop_px @ T_photo_crop[:, :2, :2].mT + T_photo_crop[:, None, :2, 2]


def build_hand_network(hand: HandModel, *, width: int = 384, blocks: int = 4) -> HandNetwork:
    """Return a hand network with the eyes' weights and an untrained lifter.

    Raises: AssetError if the weights of the eyes are missing.
    """
    network = HandNetwork(build_lifter(hand, width=width, blocks=blocks, upright=True, reads=True))
    eyes = load_network(LandmarkNetwork)
    network.blocks.load_state_dict(nn.Sequential(*eyes.blocks[FROZEN_BLOCKS:]).state_dict())
    network.joints.load_state_dict(eyes.joints.state_dict())
    network.top.load_state_dict(eyes.top.state_dict())
    return network.requires_grad_(True)


class WholeNetwork(LandmarkNetwork):
    """The eyes' first blocks followed by those of the hand network: from a crop to its joints and pooled features."""

    def forward(self, crop: Traced) -> tuple[Traced, Traced]:  # type: ignore[override]
        """Return joints (B, 63), pixels of the crop, and features (B, 1152) of crops (B, 3, 224, 224)."""
        features = self.top(self.blocks(self.stem(crop)))
        return self.joints(features), features


def whole_network(network: HandNetwork) -> WholeNetwork:
    """Return the shipped first blocks followed by those of `network`. Raises: AssetError if the former are missing."""
    whole = WholeNetwork()
    whole.load_state_dict(load_network(LandmarkNetwork).state_dict())
    for own, block in zip(network.blocks, list(whole.blocks)[FROZEN_BLOCKS:], strict=True):
        block.load_state_dict(own.state_dict())
    whole.top.load_state_dict(network.top.state_dict())
    whole.joints.load_state_dict(network.joints.state_dict())
    return whole.eval().requires_grad_(False)


def save_hand_network(path: Path, network: HandNetwork, hand: HandModel, facts: Mapping[str, str]) -> None:
    """Write a hand network in 16-bit floats, with the name of its hand model and `facts` about its training."""
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in network.state_dict().items()}
    own = {"format": FORMAT, "format_version": FORMAT_VERSION, "hand": hand.name, "pose_basis": hand.pose_basis}
    lifter = network.lifter
    sizes = {"width": str(lifter.stem.out_features), "blocks": str(len(lifter.blocks)), "image_px": str(LANDMARK_PX)}
    write_tensors(path, tensors, {**facts, **own, **sizes, "frozen": str(FROZEN_BLOCKS)})


def network_fits_hand(path: Path, hand: HandModel) -> bool:
    """Return whether a file's hand network is for this hand model. Raises: AssetError if it is missing or broken."""
    return is_for_hand(read_facts(path, format=FORMAT, version=FORMAT_VERSION), hand)


def load_hand_network(path: Path, hand: HandModel) -> HandNetwork:
    """Read a hand network for `hand`, in evaluation mode.

    Raises: AssetError if the file is missing, broken, or made for another hand.
    """
    facts = read_facts(path, format=FORMAT, version=FORMAT_VERSION)
    check_hand(path, facts, hand, what="hand network")
    lifter = build_lifter(hand, width=int(facts["width"]), blocks=int(facts["blocks"]), upright=True, reads=True)
    network = HandNetwork(lifter)
    network.load_state_dict(_all_blocks(read_tensors(path), frozen=int(facts.get("frozen", _FIRST_EDITION))))
    return network.to(hand.faces.device).eval()


def _all_blocks(tensors: Mapping[str, Tensor], *, frozen: int) -> dict[str, Tensor]:
    """Return the tensors of a file that begins with block `frozen`, with any missing blocks taken from the eyes."""
    missing = frozen - FROZEN_BLOCKS
    whole = {_moved(name, by=missing): value for name, value in tensors.items()}
    if missing > 0:
        own = nn.Sequential(*list(load_network(LandmarkNetwork).blocks)[FROZEN_BLOCKS:frozen]).state_dict()
        whole.update({f"blocks.{name}": value for name, value in own.items()})
    return whole


def _moved(name: str, *, by: int) -> str:
    part, _, rest = name.partition(".")
    if part != "blocks":
        return name
    number, _, rest = rest.partition(".")
    return f"blocks.{int(number) + by}.{rest}"
