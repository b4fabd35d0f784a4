"""Where the hand stands, through which camera it is seen, and what light falls on it."""

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.data.synthesis.draws import Dice
from hifihr_core.data.synthesis.options import SynthOptions
from hifihr_core.records import Light


def place_hand(
    verts_root: Float[Tensor, "B V 3"], dice: Dice, options: SynthOptions
) -> tuple[Float[Tensor, "B 3"], Float[Tensor, "B 3 3"]]:
    """Return (root_cam, K): a hand somewhere in front of a camera, and the K of a square crop about it.

    Distance and direction decide the perspective. The focal length then follows from how much of the crop the hand is
    to fill, as it does when a detector's box is cut out of a larger photo.
    """
    angle = dice.uniform(0.0, 1.0).square() * options.off_axis_rad
    around = dice.uniform(0.0, 2 * torch.pi)
    depth = dice.log_uniform(*options.distance_m)
    ray = torch.stack((angle.tan() * around.cos(), angle.tan() * around.sin(), torch.ones_like(angle)), dim=-1)
    root_cam = ray * depth[:, None]
    points = verts_root + root_cam[:, None]
    slopes = points[..., :2] / points[..., 2:]
    low, high = slopes.amin(dim=1), slopes.amax(dim=1)
    side = (high - low).amax(dim=-1)
    size = options.image_px
    focal = dice.uniform(*options.fill) * size / side
    aspect = 1 + 0.01 * dice.normal()
    middle = size * (0.5 + dice.uniform(-options.shift, options.shift, 2))
    K = torch.zeros(dice.batch, 3, 3, device=dice.device)
    K[:, 0, 0], K[:, 1, 1], K[:, 2, 2] = focal, focal * aspect, 1
    K[:, :2, 2] = middle - torch.stack((K[:, 0, 0], K[:, 1, 1]), dim=-1) * (low + high) / 2
    return root_cam, K


def draw_light(dice: Dice) -> Light:
    """Draw ambient and directional light: from dim, even rooms to hard sun, warm to cold, mostly from above."""
    toward = dice.direction()
    up_and_front = torch.tensor([0.0, -0.7, -0.7], device=dice.device)
    direction = torch.nn.functional.normalize(toward + 0.9 * up_and_front, dim=-1)
    exposure = dice.log_uniform(0.55, 1.2)
    share = dice.uniform(0.2, 0.75)  # of the ambient
    return Light(
        ambient=(exposure * share)[:, None] * _tint(dice, 0.05),
        color=(1.15 * exposure * (1 - share))[:, None] * _tint(dice, 0.08) * 1.2,
        direction=direction,
    )


def _tint(dice: Dice, strength: float) -> Float[Tensor, "B 3"]:
    """Return a colour near white: warm or cold, slightly green or purple."""
    warm, green = strength * dice.normal(), 0.3 * strength * dice.normal()
    return torch.stack((1 + warm, 1 + green, 1 - warm), dim=-1).clamp(0.5, 1.5)
