"""Refinement: fit a hand to its photo, first by joints and outline, then by appearance.

The hands of a photo do not influence each other; small groups of them are refined in parallel. Both stages stop early
once nothing improves.
"""

from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.hands import HandModel
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.machine.device import side_by_side, usable_cores
from hifihr_core.metrics.psnr import hand_psnr
from hifihr_core.photos.masks import NARROW, beyond_wrist, segment_hands
from hifihr_core.placed_hands import DrawnHands, LitHands, PlacedHands, Record, choose, map_tensors, pose_hands
from hifihr_core.prediction.refinement.outline_fit import OutlineWeights, fit_outlines
from hifihr_core.prediction.refinement.picture_fit import (
    Compared,
    PictureWeights,
    cost,
    draw_shaded,
    fit_picture,
    smaller,
)
from hifihr_core.rendering import Renderer, SelfShade, kernels_on, rasterize
from hifihr_core.rendering.skylight import with_sky

#: Number of batches refined in parallel, and minimum number of hands in each: fewer, larger batches share the cost of
#: small operations, but only their rendering uses more than one core.
_BATCHES, _LEAST_HANDS = 2, 2


@dataclass(frozen=True)
class RefineSettings:
    """The maximum number of first-order steps on the image, and the weights of both stages.

    `outlines` are those of the first stage: successive fits of joints and outline, each to its own mask. The outline
    has little weight in them, since masks are often less accurate than keypoints and pixels.
    """

    steps: int = 60
    outlines: tuple[OutlineWeights, ...] = (OutlineWeights(),)
    picture: PictureWeights = field(default_factory=PictureWeights)


@dataclass(frozen=True)
class Quality:
    """How well a hand explains its crop: keypoint error in pixels of the crop, IoU with the mask, and masked PSNR.

    The keypoint error is NaN for a hand without keypoints.
    """

    keypoint_px: Float[Tensor, " B"]
    iou: Float[Tensor, " B"]
    psnr_db: Float[Tensor, " B"]


@dataclass(frozen=True)
class Refined:
    """The refined hands, their masks, and how well they fit before and after refinement."""

    hands: LitHands
    mask: Bool[Tensor, "B H W"]
    before: Quality
    after: Quality


def refine(
    hand: HandModel,
    renderer: Renderer,
    start: LitHands,
    crops: Crops,
    settings: RefineSettings = RefineSettings(),
    *,
    look: Callable[[LitHands, Bool[Tensor, "B H W"]], LitHands] = lambda hands, mask: hands,
    on_step: Callable[[int], None] = lambda step: None,
) -> Refined:
    """Refine hands from `start` on their crops; `renderer` must have the size of the crops. `start` is not modified.

    `look` infers skin and light again once the outline fits (`match_light`); by default they do not change before the
    second stage. `on_step` is called with the number of finished steps of that stage; with several groups of hands,
    each group counts its own steps. The result for a hand is the last state, or the start if that has a lower cost in
    the second stage.
    """
    start = replace(start, light=with_sky(start.light))
    outlined = _by_group(partial(_fit_outlines, hand, renderer, outlines=settings.outlines), start, crops)
    lit = look(outlined.hands, outlined.mask)
    lit = replace(lit, light=with_sky(lit.light))
    compared = Compared(crops, outlined.mask, outlined.shade, lit)
    pictured = partial(_fit_picture, hand, renderer, settings=settings, on_step=on_step)
    return _by_group(pictured, start, compared)


def _by_group(work: Callable[..., Record], *records: Any) -> Record:
    """Call `work` in parallel, each time with the rows of one group of hands in every record, and join its results.

    Groups are the same on any number of cores, and so are the results. On a GPU, all hands are one group.
    """
    count, on_cpu = len(records[0]), records[0].root_cam.device.type == "cpu"
    size = max(_LEAST_HANDS, -(-count // _BATCHES)) if on_cpu else count
    groups = [slice(first, first + size) for first in range(0, count, size)]
    parts = [tuple(_rows(one, some) for one in records) for some in groups]
    # A single hand is not worth another thread.
    with kernels_on(max(1, min(usable_cores() // len(groups), size, count))):
        context = copy_context()
        made = side_by_side(lambda part: context.copy().run(work, *part), parts)
    return map_tensors(lambda *values: torch.cat(values), *made)


def _rows(record: Record, some: slice) -> Record:
    return map_tensors(lambda values: values[some], record)


@dataclass(frozen=True)
class _Outlined:
    """Hands fitted to joints and outlines, their masks on full-size crops, and their shadows on themselves."""

    hands: LitHands
    mask: Bool[Tensor, "B H W"]
    shade: SelfShade


def _fit_outlines(
    hand: HandModel, renderer: Renderer, start: LitHands, crops: Crops, *, outlines: Sequence[OutlineWeights]
) -> _Outlined:
    placed = _fit_on_small_crops(hand, start, crops, outlines)
    drawn, shade = draw_shaded(hand, renderer, placed, crops)
    return _Outlined(placed, segment_hands(crops.image, drawn.rendered.silhouette, reach=NARROW), shade)


def _fit_picture(
    hand: HandModel,
    renderer: Renderer,
    start: LitHands,
    compared: Compared,
    *,
    settings: RefineSettings,
    on_step: Callable[[int], None],
) -> Refined:
    """Return the fitted hands; a hand that explained its picture better before the fit keeps its start."""
    crops, mask = compared.crops, compared.mask
    with torch.enable_grad():
        last = fit_picture(
            hand, renderer, compared.start, compared, settings.picture, steps=settings.steps, on_step=on_step
        )
    costs = [cost(hand, renderer, one, compared, settings.picture) for one in (last, start)]
    state = choose(costs[0] <= costs[1], last, start)
    before, after = (measure(hand, draw_shaded(hand, renderer, one, crops)[0], crops, mask) for one in (start, state))
    return Refined(state, mask, before, after)


def _fit_on_small_crops(hand: HandModel, start: LitHands, crops: Crops, outlines: Sequence[OutlineWeights]) -> LitHands:
    """Return the hands with joints and outlines fitted on half-size crops."""
    small, placed = smaller(crops, crops.image.shape[-1] // 2), start
    height, width = small.image.shape[-2:]
    for weights in outlines:
        bare = PlacedHands(placed.parameters.untextured, placed.root_cam)
        verts_cam = pose_hands(hand, bare, small.K).verts_cam
        covered = rasterize(verts_cam, hand.faces, small.K, height=height, width=width).face >= 0
        placed = fit_outlines(hand, placed, small, segment_hands(small.image, covered.float()), weights)
    return placed


def measure(hand: HandModel, drawn: DrawnHands, crops: Crops, mask: Bool[Tensor, "B H W"]) -> Quality:
    """Return how well rendered hands explain their crops; the forearm's side of the wrist does not count."""
    rendered, joints_px = drawn.rendered, drawn.posed.joints_px
    seen = crops.confidence > 0
    distance = (crops.definitions(hand.joint_definition) @ joints_px - crops.keypoints_px).norm(dim=-1)
    keypoint_px = torch.where(seen, distance, 0.0).sum(dim=1) / seen.sum(dim=1)  # 0 / 0 gives the intended NaN
    height, width = crops.image.shape[-2:]
    counted = ~beyond_wrist(joints_px, height=height, width=width)
    covered, wanted = (rendered.silhouette > 0.5) & counted, mask & counted
    iou = (covered & wanted).flatten(1).sum(dim=1) / (covered | wanted).flatten(1).sum(dim=1).clamp_min(1)
    psnr = hand_psnr(rendered.image, rendered.silhouette, crops.image, wanted)
    return Quality(keypoint_px, iou, psnr)
