"""The one place that knows the sizes of the network."""

from pathlib import Path

import torch

from hifihr_core.hands.contract import HandModel
from hifihr_core.models.encoders import build_encoder
from hifihr_core.models.heads import LightHead, branch, trunk
from hifihr_core.models.reconstructor import ROTATIONS, Reconstructor

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
) -> Reconstructor:
    """Return an untrained network for `hand`; pose, shape and texture have the sizes of the hand.

    `texture` adds the texture branch and the light head; `mean_shape` leaves the shape branch out. Random numbers come
    from torch's global generator. Raises: ConfigError or AssetError from `build_encoder`.
    """
    encoder = build_encoder(backbone, weights=weights, normalize=normalize, image_px=image_px, drop_path=drop_path)
    branches = {
        "global_orient": branch(ROTATIONS[rotation][0], start=torch.tensor(ROTATION_STARTS[rotation])),
        "pose": branch(hand.pose_dim, start=hand.pose_prior().mean.cpu().float()),
        "root": branch(3, start=torch.zeros(3)),
    }
    if not mean_shape:
        branches["shape"] = branch(hand.shape_dim, start=torch.zeros(hand.shape_dim))
    if texture:
        branches["texture"] = branch(hand.texture_dim, start=torch.zeros(hand.texture_dim))
    return Reconstructor(
        encoder,
        trunk(encoder.feature_dim, norm=norm),
        branches,
        LightHead(encoder.low_dim) if texture else None,
        shape_dim=hand.shape_dim,
        rotation=rotation,
        light_range=light,
        relative_to_ray=relative_to_ray,
    )
