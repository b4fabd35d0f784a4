"""The lifter: a network from 21 keypoints in a photo to a posed hand in the camera frame.

Keypoints look the same in rendered pictures and in photos, so a network that sees only keypoints can be trained on
synthetic hands and still be accurate on real photos. Input and output are in the virtual camera of
`hifihr_core.geometry.rays`, so they do not depend on the hand's position in the photo.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.errors import AssetError
from hifihr_core.geometry import turns
from hifihr_core.geometry.rays import RayPattern, look_at_keypoints
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.lifting.evidence import Evidence, EvidenceReader
from hifihr_core.placed_hands import PlacedHands
from hifihr_core.weight_files import read_facts, read_tensors, write_tensors

FORMAT = "hifihr-lifter"
FORMAT_VERSION = "1"

#: The unit of the predicted distance: that of a hand of this size, metres across half its pattern.
_UNIT_HALF_SIZE_M = 0.08
_NUM_INPUTS = 21 * 2 + 21 + 1


class Lifter(nn.Module):
    """A multilayer perceptron with residual blocks, from a ray pattern of keypoints to a placed hand.

    `pose_mean` and `pose_std` are those of the hand's prior, so that the network predicts standardised numbers.
    """

    pose_mean: Tensor
    pose_std: Tensor

    def __init__(
        self,
        *,
        pose_mean: Tensor,
        pose_std: Tensor,
        shape_dim: int,
        width: int = 384,
        blocks: int = 4,
        upright: bool = False,
        reader: EvidenceReader | None = None,
    ) -> None:
        super().__init__()
        self.shape_dim = shape_dim
        self.upright = upright
        self.reader = reader
        self.register_buffer("pose_mean", pose_mean)
        self.register_buffer("pose_std", pose_std)
        self.stem = nn.Linear(_NUM_INPUTS, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 6 + len(pose_mean) + shape_dim + 3)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        keypoints_px: Float[Tensor, "B 21 2"],
        confidence: Float[Tensor, "B 21"],
        K: Float[Tensor, "B 3 3"],
        context: Float[Tensor, "B W"] | None = None,
        evidence: Evidence | None = None,
    ) -> PlacedHands:
        """Lift right hands. Joints of confidence 0 are ignored; their pixels may have any finite value.

        `context`, as wide as the hidden layers, encodes information beyond keypoints, such as image features;
        `evidence` comes from the eyes and the hand network, and a lifter without a reader ignores it.
        """
        pattern = look_at_keypoints(keypoints_px, confidence, K, upright=self.upright)
        if evidence is not None and self.reader is not None:
            # The spread of the looks says more about a joint than its confidence, which is derived from it.
            confidence = (confidence > 0).to(confidence)
            half_px = pattern.extent * (K[:, 0, 0] + K[:, 1, 1]) / 2
            read = self.reader(evidence, keypoints_px, pattern, half_px)
            context = read if context is None else context + read
        features = torch.cat((pattern.points.flatten(1), confidence, pattern.extent.log()[:, None]), dim=1)
        hidden = self.stem(features) if context is None else self.stem(features) + context
        for block in self.blocks:
            hidden = block(hidden)
        sizes = (6, len(self.pose_mean), self.shape_dim, 3)
        orient, pose, shape, root = self.head(self.norm(hidden)).split(sizes, dim=1)
        return self._place(pattern, orient, pose, shape, root)

    def _place(self, pattern: RayPattern, orient: Tensor, pose: Tensor, shape: Tensor, root: Tensor) -> PlacedHands:
        upright = orient.new_tensor(
            [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
        )  # columns of the identity, so zero means no rotation
        R_virtual_root = turns.gram_schmidt((orient + upright).reshape(-1, 3, 2))
        plane = pattern.center + pattern.extent[:, None] * root[:, :2]
        depth_m = _UNIT_HALF_SIZE_M / pattern.extent * root[:, 2].clamp(-3, 3).exp()
        root_virtual = torch.cat((plane, torch.ones_like(plane[:, :1])), dim=1) * depth_m[:, None]
        R_cam_virtual = pattern.R_virtual_cam.mT
        parameters = HandParameters(
            global_orient=turns.rotmat_to_rotvec(R_cam_virtual @ R_virtual_root),
            pose=self.pose_mean + self.pose_std * pose,
            shape=shape,
        )
        return PlacedHands(parameters, (R_cam_virtual @ root_virtual[..., None])[..., 0])


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.layers(hidden)


def build_lifter(
    hand: HandModel, *, width: int = 384, blocks: int = 4, upright: bool = False, reads: bool = False
) -> Lifter:
    """Return an untrained lifter for `hand`; with `reads`, it also uses evidence beyond keypoints.

    With `upright`, it rotates every pattern so that the hand points up.
    """
    prior = hand.pose_prior()
    pose_std = (prior.basis.square().sum(dim=0)).sqrt().clamp_min(0.05)
    return Lifter(
        pose_mean=prior.mean,
        pose_std=pose_std,
        shape_dim=hand.shape_dim,
        width=width,
        blocks=blocks,
        upright=upright,
        reader=EvidenceReader(width) if reads else None,
    )


def save_lifter(path: Path, lifter: Lifter, hand: HandModel, facts: Mapping[str, str]) -> None:
    """Write a lifter in 16-bit floats, with the name of its hand model and `facts` about its training."""
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in lifter.state_dict().items()}
    own = {"format": FORMAT, "format_version": FORMAT_VERSION, "hand": hand.name, "pose_basis": hand.pose_basis}
    sizes = {"width": str(lifter.stem.out_features), "blocks": str(len(lifter.blocks))}
    kind = {"upright": str(int(lifter.upright)), "reads": str(int(lifter.reader is not None))}
    write_tensors(path, tensors, {**facts, **own, **sizes, **kind})


def fits_hand(path: Path, hand: HandModel) -> bool:
    """Return whether the lifter in a file is for this hand model. Raises: AssetError if it is missing or broken."""
    return is_for_hand(read_facts(path, format=FORMAT, version=FORMAT_VERSION), hand)


def is_for_hand(facts: Mapping[str, str], hand: HandModel) -> bool:
    """Return whether a network with these facts was trained for this hand model and its pose basis."""
    return (facts.get("hand"), facts.get("pose_basis")) == (hand.name, hand.pose_basis)


def check_hand(path: Path, facts: Mapping[str, str], hand: HandModel, *, what: str) -> None:
    """Raise AssetError if the file of a network (`what` it is) with these facts is for another hand model."""
    if not is_for_hand(facts, hand):
        found = f"{facts.get('hand')!r} with the pose basis {facts.get('pose_basis')!r}"
        expected = f"{hand.name!r} with {hand.pose_basis!r}"
        raise AssetError(f"{path}: is a {what} for the hand {found}, expected {expected}; give another file")


def load_lifter(path: Path, hand: HandModel) -> Lifter:
    """Read a lifter for `hand`, on the hand's device, in evaluation mode.

    Raises: AssetError if the file is missing, broken, or made for another hand.
    """
    facts = read_facts(path, format=FORMAT, version=FORMAT_VERSION)
    check_hand(path, facts, hand, what="lifter")
    lifter = build_lifter(
        hand,
        width=int(facts["width"]),
        blocks=int(facts["blocks"]),
        upright=facts.get("upright") == "1",
        reads=facts.get("reads") == "1",
    )
    lifter.load_state_dict(read_tensors(path))
    return lifter.to(hand.faces.device).eval()
