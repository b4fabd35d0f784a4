"""Refinement: render the hand, compare it with the photo, and move pose, shape, root, texture and light.

Every hand of a photo is refined at once and on its own: the terms are sums over hands, so no hand sees another. The
budget is a fixed number of steps; nothing stops early, so the time is known beforehand.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.lookup import needed
from hifihr_core.metrics.psnr import hand_psnr
from hifihr_core.placed_hands import DrawnHands, LitHands, choose, draw_hands, map_tensors
from hifihr_core.prediction.hand_crops import Crops
from hifihr_core.prediction.look.masks import beyond_wrist, segment_hands
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer, SelfShade, self_shade
from hifihr_core.rendering.primitives import pack_light
from hifihr_core.rendering.skylight import with_sky


@dataclass(frozen=True)
class RefineSettings:
    """Steps, learning rates and weights of a refinement.

    Lengths in the keypoint term are in crop widths. Rates: `geometry` for turns, pose and shape (radians, standard
    deviations), `root` for the root's place (relative to its depth), `appearance` for texture and light. The priors on
    texture and light hold them to the start, where they were inferred together: a picture alone cannot tell them apart.
    """

    steps: int = 80
    geometry_rate: float = 0.02
    root_rate: float = 0.004
    appearance_rate: float = 0.06
    keypoints: float = 1200.0
    keypoint_outlier: float = 0.02
    silhouette: float = 4.0
    photometric: float = 6.0
    pose_prior: float = 0.02
    pose_off_prior: float = 2.0
    limits: float = 20.0
    shape_prior: float = 0.05
    texture_prior: float = 0.05
    light_prior: float = 1.0


@dataclass(frozen=True)
class Quality:
    """How well a hand explains its crop: keypoint error in pixels of the crop (NaN without), mask IoU, masked PSNR."""

    keypoint_px: Float[Tensor, " B"]
    iou: Float[Tensor, " B"]
    psnr_db: Float[Tensor, " B"]


@dataclass(frozen=True)
class Refined:
    """The refined hands, the masks they were compared in, and their quality before and after."""

    hands: LitHands
    mask: Bool[Tensor, "B H W"]
    before: Quality
    after: Quality


class _Variables:
    """The numbers that move, as leaves of the graph, and how they make a state."""

    def __init__(self, start: LitHands) -> None:
        self.start = start
        parameters, light = start.parameters, start.light
        batch = len(start.root_cam)
        self.turn = start.root_cam.new_zeros(batch, 3)
        self.pose = parameters.pose.clone()
        self.shape = parameters.shape.clone()
        self.root = start.root_cam.new_zeros(batch, 3)
        self.texture = start.texture.clone()
        self.colors = torch.cat((light.ambient, light.color), dim=1).clamp_min(0.02).log()
        self.direction = light.direction.clone()
        self.sky = needed(light.sky, "the sky of a light to refine").clone()
        for variable in self.all():
            variable.requires_grad_()

    def all(self) -> list[Tensor]:
        return [self.turn, self.pose, self.shape, self.root, self.texture, self.colors, self.direction, self.sky]

    def groups(self, settings: RefineSettings) -> list[dict[str, object]]:
        return [
            {"params": [self.turn, self.pose, self.shape], "lr": settings.geometry_rate},
            {"params": [self.root], "lr": settings.root_rate},
            {"params": [self.texture, self.colors, self.direction], "lr": settings.appearance_rate},
            {"params": [self.sky], "lr": settings.appearance_rate / 4},
        ]

    def state(self) -> LitHands:
        start = self.start
        orient = turns.rotmat_to_rotvec(
            turns.rotvec_to_rotmat(self.turn) @ turns.rotvec_to_rotmat(start.parameters.global_orient)
        )
        depth = start.root_cam[:, 2:]
        root = (start.root_cam + torch.cat((self.root[:, :2] * depth, torch.zeros_like(depth)), dim=1)) * self.root[
            :, 2:
        ].exp()
        colors = self.colors.exp()
        light = Light(colors[:, :3], colors[:, 3:], torch.nn.functional.normalize(self.direction, dim=1), self.sky)
        return LitHands(HandParameters(orient, self.pose, self.shape, self.texture), root, light)


def refine(
    hand: HandModel,
    renderer: Renderer,
    start: LitHands,
    crops: Crops,
    settings: RefineSettings = RefineSettings(),
    *,
    on_step: Callable[[int], None] = lambda step: None,
) -> Refined:
    """Refine hands from `start` on their crops; `renderer` has the size of the crops. The start is not changed.

    `on_step` gets the number of finished steps. The result is the last state, or the start if that explains the crop
    better (measured by the same cost).
    """
    start = replace(start, light=with_sky(start.light))
    with torch.no_grad():
        drawn, shade = _shaded(hand, renderer, start, crops)
    mask = segment_hands(crops.image, drawn.rendered.silhouette)
    before = _quality(drawn, crops, mask)
    variables = _Variables(start)
    optimizer = torch.optim.Adam(variables.groups(settings), betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=settings.steps + 1, pct_start=0.2
    )
    for step in range(settings.steps):
        optimizer.zero_grad(set_to_none=True)
        compared = _Compared(crops, mask, shade, start)
        _cost(hand, renderer, variables.state(), compared, settings).sum().backward()
        optimizer.step()
        schedule.step()
        if step == settings.steps // 2:  # the hand has moved: look again which pixels are its own, and its shadows
            with torch.no_grad():
                drawn, shade = _shaded(hand, renderer, variables.state(), crops)
                mask = segment_hands(crops.image, drawn.rendered.silhouette)
        on_step(step + 1)
    with torch.no_grad():
        last = map_tensors(Tensor.detach, variables.state())
        compared = _Compared(crops, mask, shade, start)
        costs = [_cost(hand, renderer, one, compared, settings) for one in (last, start)]
        state = choose(costs[0] <= costs[1], last, start)
        after = _quality(_shaded(hand, renderer, state, crops)[0], crops, mask)
    return Refined(state, mask, before, after)


@dataclass(frozen=True)
class _Compared:
    """What a state is compared with, and what the priors hold it to; `shade` is updated every few steps."""

    crops: Crops
    mask: Bool[Tensor, "B H W"]
    shade: SelfShade
    start: LitHands


def _shaded(hand: HandModel, renderer: Renderer, state: LitHands, crops: Crops) -> tuple[DrawnHands, SelfShade]:
    """Return the hands drawn with their own shadows, and the shadows."""
    verts_cam = hand(replace(state.parameters, texture=None)).vertices + state.root_cam[:, None]
    shade = self_shade(verts_cam, hand.faces, state.light.direction)
    return draw_hands(hand, renderer, state, crops.K, shade=shade), shade


def _cost(
    hand: HandModel, renderer: Renderer, state: LitHands, compared: _Compared, settings: RefineSettings
) -> Float[Tensor, " B"]:
    """Return the cost of each hand."""
    crops, mask = compared.crops, compared.mask
    drawn = draw_hands(hand, renderer, state, crops.K, shade=compared.shade)
    rendered, joints_px = drawn.rendered, drawn.posed.joints_px
    height, width = crops.image.shape[-2:]
    hand_side = ~beyond_wrist(joints_px.detach(), height=height, width=width) | (rendered.silhouette.detach() > 0.5)
    area = mask.flatten(1).sum(dim=1).clamp_min(1)
    outline = ((rendered.silhouette - mask.float()).square() * hand_side).flatten(1).sum(dim=1) / area
    shared = mask & (rendered.silhouette.detach() > 0.9)
    difference = ((rendered.image - crops.image).abs().mean(dim=1) * shared).flatten(1).sum(dim=1)
    photometric = difference / shared.flatten(1).sum(dim=1).clamp_min(1)
    return (
        settings.keypoints * _keypoint_cost(joints_px / width, crops, settings.keypoint_outlier)
        + settings.silhouette * outline
        + settings.photometric * photometric
        + _priors(hand, state, compared.start, settings)
    )


def _keypoint_cost(joints: Float[Tensor, "B 21 2"], crops: Crops, outlier: float) -> Float[Tensor, " B"]:
    """Return the pseudo-Huber cost of the keypoints, crop widths squared, weighted by confidence."""
    offset = joints - crops.keypoints_px / crops.image.shape[-1]
    robust = 2 * outlier**2 * ((1 + offset.square().sum(dim=-1) / outlier**2).sqrt() - 1)
    return (robust * crops.confidence).sum(dim=1) / crops.confidence.sum(dim=1).clamp_min(1e-3)


def _priors(hand: HandModel, state: LitHands, start: LitHands, settings: RefineSettings) -> Float[Tensor, " B"]:
    prior = hand.pose_prior()
    pose = state.parameters.pose
    lights = [pack_light(one.light).flatten(1) for one in (state, start)]
    return (
        settings.pose_prior * prior.standardized(pose).square().mean(dim=1)
        + settings.pose_off_prior * prior.off_basis(pose).square().mean(dim=1)
        + settings.limits * prior.beyond_limits(pose).square().mean(dim=1)
        + settings.shape_prior * state.parameters.shape.square().mean(dim=1)
        + settings.texture_prior * (state.texture - start.texture).square().mean(dim=1)
        + settings.light_prior * (lights[0] - lights[1]).square().mean(dim=1)
    )


def _quality(drawn: DrawnHands, crops: Crops, mask: Bool[Tensor, "B H W"]) -> Quality:
    rendered, joints_px = drawn.rendered, drawn.posed.joints_px
    seen = crops.confidence > 0
    distance = (joints_px - crops.keypoints_px).norm(dim=-1)
    keypoint_px = torch.where(seen, distance, 0.0).sum(dim=1) / seen.sum(dim=1)  # 0 / 0 is the NaN that is meant
    height, width = crops.image.shape[-2:]
    counted = ~beyond_wrist(joints_px, height=height, width=width)
    covered, wanted = (rendered.silhouette > 0.5) & counted, mask & counted
    iou = (covered & wanted).flatten(1).sum(dim=1) / (covered | wanted).flatten(1).sum(dim=1).clamp_min(1)
    psnr = hand_psnr(rendered.image, rendered.silhouette, crops.image, wanted)
    return Quality(keypoint_px, iou, psnr)
