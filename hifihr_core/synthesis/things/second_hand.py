"""A second hand in the picture: the same person's other hand, near the first."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.placed_hands import map_tensors
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Renderer
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.things.occluders import MOST_HIDDEN

#: Distance between the centres of the two palms: across the view, in reaches of the second hand, and in depth, metres.
_APART, _DEPTH_M = (0.55, 1.2), (-0.05, 0.1)


def draw_second_hands(
    hand: HandModel, parameters: HandParameters, root_cam: Float[Tensor, "B 3"], dice: Dice
) -> tuple[Float[Tensor, "B V 3"], Appearance | None]:
    """Return left hands (vertices, appearance) beside the right ones, camera frame, metres.

    They have the poses of other samples, and the shape and skin of the right hand beside them.
    """
    other = replace(
        parameters, pose=parameters.pose.roll(1, dims=0), global_orient=parameters.global_orient.roll(1, dims=0)
    )
    posed = hand(other)
    mirrored = posed.vertices * posed.vertices.new_tensor([-1.0, 1.0, 1.0])
    reach = mirrored[..., :2].norm(dim=-1).amax(dim=1)
    angle = dice.uniform(0.0, 2 * torch.pi)
    across = reach * dice.uniform(*_APART)
    offset = torch.stack((across * angle.cos(), across * angle.sin(), dice.uniform(*_DEPTH_M)), dim=-1)
    return mirrored + (root_cam + offset)[:, None], posed.appearance


def over_props(
    renderer: Renderer,
    hands: tuple[Float[Tensor, "B V 3"], Appearance | None],
    has: Bool[Tensor, " B"],
    K: Float[Tensor, "B 3 3"],
    light: Light,
    behind: tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B H W"]],
    first_depth: Float[Tensor, "B H W"],
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B H W"]]:
    """Return pictures and depth of the props, `behind`, with second hands drawn into the samples that `has` marks.

    Whatever is nearer covers the rest. The faces of `renderer` are those of a mirrored hand. A second hand that would
    hide more than half of the first one, whose depth is `first_depth`, is omitted.
    """
    rows = torch.nonzero(has)[:, 0]
    if not len(rows):
        return behind
    vertices, look = hands
    look = look or Appearance(torch.full_like(vertices, 0.6))
    some = replace(look, albedo=look.albedo[rows])
    drawn = renderer(vertices[rows], K[rows], some, map_tensors(lambda values: values[rows], light))
    image, depth = behind
    own = drawn.surface_depth
    nearer = own < depth[rows]
    first = first_depth[rows]
    over = (first.isfinite() & (own < first)).sum(dim=(1, 2)) / first.isfinite().sum(dim=(1, 2)).clamp(min=1)
    fits = (over < MOST_HIDDEN)[:, None, None]
    alpha = drawn.silhouette[:, None].clamp(0, 1)
    hidden = depth[rows].isfinite() & ~nearer
    mixed = torch.where(hidden[:, None] | ~fits[:, None], image[rows], drawn.image + (1 - alpha) * image[rows])
    return (
        image.index_copy(0, rows, mixed),
        depth.index_copy(0, rows, torch.where(nearer & fits, own, depth[rows])),
    )
