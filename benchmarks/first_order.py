"""The former refinement, for comparison: only first-order steps on full-size crops, with a new mask halfway."""

from dataclasses import replace

import torch
from torch import Tensor

from hifihr_core.hands import HandModel
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.photos.masks import segment_hands
from hifihr_core.placed_hands import LitHands, choose, map_tensors
from hifihr_core.prediction.refine import Refined, measure
from hifihr_core.prediction.refinement.picture_fit import Compared, PictureWeights, Variables, cost, draw_shaded
from hifihr_core.rendering import Renderer
from hifihr_core.rendering.skylight import with_sky

STEPS = 80
WEIGHTS = PictureWeights(geometry_rate=0.02, root_rate=0.004, appearance_rate=0.06)


def refine_first_order(hand: HandModel, renderer: Renderer, start: LitHands, crops: Crops) -> Refined:
    """Return the hands after 80 steps of Adam from `start`, or the start if it explains the crop better."""
    start = replace(start, light=with_sky(start.light))
    drawn, shade = draw_shaded(hand, renderer, start, crops)
    mask = segment_hands(crops.image, drawn.rendered.silhouette)
    before = measure(hand, drawn, crops, mask)
    variables = Variables(start)
    optimizer = torch.optim.Adam(variables.groups(WEIGHTS), betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=STEPS + 1, pct_start=0.2
    )
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        cost(hand, renderer, variables.state(), Compared(crops, mask, shade, start), WEIGHTS).sum().backward()
        optimizer.step()
        schedule.step()
        if step == STEPS // 2:
            with torch.no_grad():
                drawn, shade = draw_shaded(hand, renderer, variables.state(), crops)
                mask = segment_hands(crops.image, drawn.rendered.silhouette)
    with torch.no_grad():
        last = map_tensors(Tensor.detach, variables.state())
        compared = Compared(crops, mask, shade, start)
        costs = [cost(hand, renderer, one, compared, WEIGHTS) for one in (last, start)]
        state = choose(costs[0] <= costs[1], last, start)
        after = measure(hand, draw_shaded(hand, renderer, state, crops)[0], crops, mask)
    return Refined(state, mask, before, after)
