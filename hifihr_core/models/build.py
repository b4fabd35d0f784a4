"""The one place that knows the sizes of the network."""

from pathlib import Path

import torch

from hifihr_core.hands.contract import HandModel
from hifihr_core.lifting.lifter import build_lifter
from hifihr_core.models.encoders import build_encoder
from hifihr_core.models.heads import LightHead, branch, trunk
from hifihr_core.models.joint_maps import KeypointHead
from hifihr_core.models.reconstructor import ROTATIONS, KeypointReconstructor, Reconstructor

#: Start of the rotation branches: for "6d" the identity, for "axis_angle" none.
ROTATION_STARTS = {"6d": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "axis_angle": (0.0, 0.0, 0.0)}


def build_reconstructor(
    hand: HandModel,
    *,
    backbone: str = "tf_efficientnet_b3",
    weights: str | Path = "none",
    image_px: int = 224,
    normalize: bool = True,
    drop_path: float = 0.0,
    norm: str = "batch",
    rotation: str = "6d",
    mean_shape: bool = False,
    texture: bool = True,
    light: str = "bounded",
    relative_to_ray: bool = True,
    geometry: str = "pooled",
) -> Reconstructor:
    """Return an untrained network for `hand`; pose, shape and texture have the sizes of the hand.

    `geometry` is "pooled", which regresses pose, shape and root from pooled features as the paper does, or "keypoints",
    which finds the joints and lifts them. `texture` adds the texture branch and the light head; `mean_shape` keeps the
    mean shape. Random numbers come from torch's global generator. Raises: ConfigError or AssetError from
    `build_encoder`.
    """
    encoder = build_encoder(backbone, weights=weights, normalize=normalize, image_px=image_px, drop_path=drop_path)
    shared = trunk(encoder.feature_dim, norm=norm)
    look = {"texture": branch(hand.texture_dim, start=torch.zeros(hand.texture_dim))} if texture else {}
    light_head = LightHead(encoder.low_dim) if texture else None
    if geometry == "keypoints":
        return KeypointReconstructor(
            encoder,
            shared,
            look,
            light_head,
            keypoints=KeypointHead(encoder.pyramid_dims),
            lifter=build_lifter(hand),
            mean_shape=mean_shape,
            light_range=light,
        )
    branches = {
        "global_orient": branch(ROTATIONS[rotation][0], start=torch.tensor(ROTATION_STARTS[rotation])),
        "pose": branch(hand.pose_dim, start=hand.pose_prior().mean.cpu().float()),
        "root": branch(3, start=torch.zeros(3)),
    }
    if not mean_shape:
        branches["shape"] = branch(hand.shape_dim, start=torch.zeros(hand.shape_dim))
    return Reconstructor(
        encoder,
        shared,
        branches | look,
        light_head,
        shape_dim=hand.shape_dim,
        rotation=rotation,
        light_range=light,
        relative_to_ray=relative_to_ray,
    )
