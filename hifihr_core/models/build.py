"""Build the image networks of `models/table.py` for a hand model and the settings of a run."""

import torch
from torch import nn

from hifihr_core.config.tree import ModelSettings
from hifihr_core.hands.contract import HandModel
from hifihr_core.lifting.lifter import build_lifter
from hifihr_core.models.backbone_weights import Pretrained
from hifihr_core.models.encoders import Encoder, build_encoder
from hifihr_core.models.heads import LightHead, branch, trunk
from hifihr_core.models.joint_maps import KeypointHead
from hifihr_core.models.reconstructor import ROTATIONS, KeypointReconstructor, Reconstructor

#: Initial output of the rotation branch, the identity in each parametrisation.
ROTATION_STARTS = {"6d": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "axis_angle": (0.0, 0.0, 0.0)}


def build_pooled(hand: HandModel, settings: ModelSettings, *, image_px: int, weights: Pretrained) -> Reconstructor:
    """Return an untrained network that regresses pose, shape and root from pooled features, as the paper does.

    Random weights come from torch's global generator. Raises: ConfigError or AssetError from `build_encoder`.
    """
    encoder, shared = _body(settings, image_px=image_px, weights=weights)
    look, light = _look(hand, settings, encoder)
    branches: dict[str, nn.Module] = {
        "global_orient": branch(
            ROTATIONS[settings.rotation][0], start=torch.tensor(ROTATION_STARTS[settings.rotation])
        ),
        "pose": branch(hand.pose_dim, start=hand.pose_prior().mean.cpu().float()),
        "root": branch(3, start=torch.zeros(3)),
    }
    if not settings.mean_shape:
        branches["shape"] = branch(hand.shape_dim, start=torch.zeros(hand.shape_dim))
    return Reconstructor(
        encoder,
        shared,
        branches | look,
        light,
        shape_dim=hand.shape_dim,
        rotation=settings.rotation,
        light_range=settings.light,
        relative_to_ray=settings.relative_to_ray,
    )


def build_keypoints(
    hand: HandModel, settings: ModelSettings, *, image_px: int, weights: Pretrained
) -> KeypointReconstructor:
    """Return an untrained network that finds 21 joints in the crop and lifts them. Raises: as in `build_pooled`."""
    encoder, shared = _body(settings, image_px=image_px, weights=weights)
    look, light = _look(hand, settings, encoder)
    return KeypointReconstructor(
        encoder,
        shared,
        look,
        light,
        keypoints=KeypointHead(encoder.pyramid_dims),
        lifter=build_lifter(hand),
        mean_shape=settings.mean_shape,
        light_range=settings.light,
    )


def _body(settings: ModelSettings, *, image_px: int, weights: Pretrained) -> tuple[Encoder, nn.Module]:
    """Return the backbone and the layers shared by the heads."""
    encoder = build_encoder(settings.backbone, weights=weights, normalize=settings.normalize, image_px=image_px)
    return encoder, trunk(encoder.feature_dim, norm=settings.norm)


def _look(hand: HandModel, settings: ModelSettings, encoder: Encoder) -> tuple[dict[str, nn.Module], LightHead | None]:
    """Return the texture branch and the light head, or neither if the settings have no texture."""
    if not settings.texture:
        return {}, None
    texture = branch(hand.texture_dim, start=torch.zeros(hand.texture_dim))
    return {"texture": texture}, LightHead(encoder.low_dim, ambient=settings.ambient)
