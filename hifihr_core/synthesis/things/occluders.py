"""Occluders between camera and hand: discs and slabs."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.options import SynthOptions

#: Maximum fraction of the visible hand that an occluder may hide, and of the whole hand that props may hide.
MOST_HIDDEN = 0.5


def cover(
    image: Float[Tensor, "B 3 H W"],
    backdrop: Float[Tensor, "B 3 H W"],
    seen: Bool[Tensor, "B H W"],
    dice: Dice,
    options: SynthOptions,
) -> tuple[Float[Tensor, "B 3 H W"], Bool[Tensor, "B H W"]]:
    """Return the pictures, some with a disc or slab in front, and the masks of these occluders.

    An occluder is textured with another sample's backdrop, or has one colour. One that would hide more than half of the
    visible hand, given by `seen`, is omitted.
    """
    rows, columns = ((torch.arange(n, device=dice.device) + 0.5) / n for n in options.size_px)
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    middle, angle = dice.uniform(0.05, 0.95, 2, 1, 1), dice.uniform(0.0, torch.pi, 1, 1)
    across, along = u - middle[:, 0], v - middle[:, 1]
    x = (across * angle.cos() + along * angle.sin()) / dice.log_uniform(0.04, 0.25, 1, 1)
    y = (along * angle.cos() - across * angle.sin()) / dice.log_uniform(0.06, 0.7, 1, 1)
    round_ = dice.chance(0.5)[:, None, None]
    distance = torch.where(round_, (x.square() + y.square()).sqrt(), torch.maximum(x.abs(), y.abs()))
    share = ((1 - distance) * 12).clamp(0, 1) * dice.chance(options.occluder)[:, None, None]
    hidden = (seen & (share >= 0.5)).sum(dim=(1, 2)) / seen.sum(dim=(1, 2)).clamp(min=1)
    share = share * (hidden < MOST_HIDDEN)[:, None, None]
    front = (backdrop.roll(1, dims=0).flip(-1) * dice.log_uniform(0.5, 1.6, 1, 1, 1)).clamp(0, 1)
    if options.plain_occluder > 0:
        plain = dice.chance(options.plain_occluder)[:, None, None, None]
        front = torch.where(plain, dice.uniform(0.0, 1.0, 3, 1, 1), front)
    return torch.lerp(image, front, share[:, None]), share >= 0.5


def keep_hand(
    hand_depth: Float[Tensor, "B H W"],
    props_depth: Float[Tensor, "B H W"],
    props: Float[Tensor, "B 3 H W"],
    backdrop: Float[Tensor, "B 3 H W"],
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B H W"]]:
    """Return picture and depth of the props, or the backdrop where they would hide more than half of the hand."""
    area = hand_depth.isfinite().sum(dim=(1, 2)).clamp(min=1)
    hidden = (hand_depth.isfinite() & (props_depth < hand_depth)).sum(dim=(1, 2)) / area > MOST_HIDDEN
    image = torch.where(hidden[:, None, None, None], backdrop, props)
    return image, torch.where(hidden[:, None, None], torch.full_like(props_depth, torch.inf), props_depth)
