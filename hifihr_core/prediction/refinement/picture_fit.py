"""The second stage of a refinement: fit the hand to the image by a few first-order steps, from coarse to fine.

The hand is rendered and compared with its crop; pose, shape, root, texture and light are optimised. The cost is a sum
over hands, so hands do not influence each other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from hifihr_core.geometry import turns
from hifihr_core.geometry.cameras import transform_K
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.lookup import needed
from hifihr_core.photos.masks import beyond_wrist
from hifihr_core.placed_hands import DrawnHands, LitHands, draw_hands, map_tensors
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer, SelfShade, self_shade
from hifihr_core.rendering.primitives import pack_light

#: The fit ends when the last few steps have not reduced the cost by this fraction.
_PATIENCE, _ENOUGH = 6, 1e-3


@dataclass(frozen=True)
class PictureWeights:
    """Learning rates and weights of the comparison with the image.

    `geometry_rate` is the learning rate of rotation, pose and shape (radians, standard deviations), `root_rate` that of
    the root's position (relative to its depth), `appearance_rate` that of texture and light. The first steps, a
    fraction `small` of them, use half-size crops. Lengths in the keypoint term are in crop widths. The priors keep
    texture and light near the start, for which they were inferred jointly: an image alone cannot separate them.
    """

    geometry_rate: float = 0.02
    root_rate: float = 0.004
    appearance_rate: float = 0.1
    small: float = 0.6
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
class Compared:
    """What rendered hands are compared with (crops and masks), their fixed shadows, and the centre of the priors.

    `start` contains the hands whose texture and light are this centre.
    """

    crops: Crops
    mask: Bool[Tensor, "B H W"]
    shade: SelfShade
    start: LitHands


class Variables:
    """The optimised variables, which are leaves of the autograd graph, and the hands that they describe."""

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
        """Return every variable."""
        return [self.turn, self.pose, self.shape, self.root, self.texture, self.colors, self.direction, self.sky]

    def groups(self, weights: PictureWeights) -> list[dict[str, object]]:
        """Return the variables with their learning rates, for an optimizer."""
        return [
            {"params": [self.turn, self.pose, self.shape], "lr": weights.geometry_rate},
            {"params": [self.root], "lr": weights.root_rate},
            {"params": [self.texture, self.colors, self.direction], "lr": weights.appearance_rate},
            {"params": [self.sky], "lr": weights.appearance_rate / 4},
        ]

    def state(self) -> LitHands:
        """Return the hands that the variables describe."""
        start = self.start
        orient = turns.compose_rotvecs(self.turn, start.parameters.global_orient)
        depth = start.root_cam[:, 2:]
        root = (start.root_cam + torch.cat((self.root[:, :2] * depth, torch.zeros_like(depth)), dim=1)) * self.root[
            :, 2:
        ].exp()
        colors = self.colors.exp()
        light = Light(colors[:, :3], colors[:, 3:], functional.normalize(self.direction, dim=1), self.sky)
        return LitHands(HandParameters(orient, self.pose, self.shape, self.texture), root, light)


def fit_picture(
    hand: HandModel,
    renderer: Renderer,
    begin: LitHands,
    compared: Compared,
    weights: PictureWeights,
    *,
    steps: int,
    on_step: Callable[[int], None],
) -> LitHands:
    """Return the hands after at most `steps` steps of Adam from `begin`.

    The first steps, a fraction `weights.small` of them, use half-size crops. On full-size crops, the fit stops when the
    total cost of all hands has not fallen for some steps.
    """
    variables = Variables(begin)
    optimizer = torch.optim.Adam(variables.groups(weights), betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=steps + 1, pct_start=0.2
    )
    levels = {size: at_size(compared, size) for size in (renderer.height // 2, renderer.height)}
    renderers = {size: renderer.at_size(size, size) for size in levels}
    costs: list[float] = []
    for step in range(steps):
        size = renderer.height // 2 if step < weights.small * steps else renderer.height
        optimizer.zero_grad(set_to_none=True)
        total = cost(hand, renderers[size], variables.state(), levels[size], weights).sum()
        total.backward()
        optimizer.step()
        schedule.step()
        on_step(step + 1)
        costs = [*costs, total.item()] if size == renderer.height else []
        if len(costs) > _PATIENCE and min(costs[-_PATIENCE:]) > (1 - _ENOUGH) * min(costs[:-_PATIENCE]):
            break
    with torch.no_grad():
        return map_tensors(Tensor.detach, variables.state())


def at_size(compared: Compared, size: int) -> Compared:
    """Return `compared` with its crops and masks scaled to `size` x `size` pixels."""
    if size == compared.crops.image.shape[-1]:
        return compared
    mask = functional.interpolate(compared.mask[:, None].float(), size=(size, size), mode="area")[:, 0] > 0.5
    return replace(compared, crops=smaller(compared.crops, size), mask=mask)


def smaller(crops: Crops, size: int) -> Crops:
    """Return the same crops, scaled down to `size` x `size` pixels by averaging."""
    scale = size / crops.image.shape[-1]
    T_small_crop = torch.diag(crops.K.new_tensor([scale, scale, 1.0])).expand_as(crops.K)
    return replace(
        crops,
        image=functional.interpolate(crops.image, size=(size, size), mode="area"),
        K=transform_K(crops.K, T_small_crop),
        T_crop_photo=T_small_crop @ crops.T_crop_photo,
        keypoints_px=crops.keypoints_px * scale,
    )


@torch.no_grad()
def draw_shaded(hand: HandModel, renderer: Renderer, state: LitHands, crops: Crops) -> tuple[DrawnHands, SelfShade]:
    """Return the hands rendered with the shadows that they cast on themselves, and these shadows."""
    verts_cam = hand(state.parameters.untextured).vertices + state.root_cam[:, None]
    shade = self_shade(verts_cam, hand.faces, state.light.direction)
    return draw_hands(hand, renderer, state, crops.K, shade=shade), shade


def cost(
    hand: HandModel, renderer: Renderer, state: LitHands, compared: Compared, weights: PictureWeights
) -> Float[Tensor, " B"]:
    """Return the cost of each hand: the weighted sum of keypoint, silhouette, image and prior terms."""
    crops, mask = compared.crops, compared.mask
    drawn = draw_hands(hand, renderer, state, crops.K, shade=compared.shade)
    rendered, joints_px = drawn.rendered, drawn.posed.joints_px
    height, width = crops.image.shape[-2:]
    hand_side = ~beyond_wrist(joints_px.detach(), height=height, width=width) | (rendered.silhouette.detach() > 0.5)
    area = mask.flatten(1).sum(dim=1).clamp_min(1)
    outline = ((rendered.silhouette - mask.float()).square() * (hand_side & crops.inside)).flatten(1).sum(dim=1) / area
    shared = mask & crops.inside & (rendered.silhouette.detach() > 0.9)
    difference = ((rendered.image - crops.image).abs().mean(dim=1) * shared).flatten(1).sum(dim=1)
    photometric = difference / shared.flatten(1).sum(dim=1).clamp_min(1)
    return (
        weights.keypoints * _keypoint_cost(hand, joints_px, crops, weights.keypoint_outlier)
        + weights.silhouette * outline
        + weights.photometric * photometric
        + _priors(hand, state, compared.start, weights)
    )


def _keypoint_cost(
    hand: HandModel, joints_px: Float[Tensor, "B 21 2"], crops: Crops, outlier: float
) -> Float[Tensor, " B"]:
    """Return the pseudo-Huber cost of the keypoints in squared crop widths, weighted by confidence."""
    offset = (crops.definitions(hand.joint_definition) @ joints_px - crops.keypoints_px) / crops.image.shape[-1]
    robust = 2 * outlier**2 * ((1 + offset.square().sum(dim=-1) / outlier**2).sqrt() - 1)
    return (robust * crops.confidence).sum(dim=1) / crops.confidence.sum(dim=1).clamp_min(1e-3)


def _priors(hand: HandModel, state: LitHands, start: LitHands, weights: PictureWeights) -> Float[Tensor, " B"]:
    prior = hand.pose_prior()
    pose = state.parameters.pose
    lights = [pack_light(one.light).flatten(1) for one in (state, start)]
    return (
        weights.pose_prior * prior.standardized(pose).square().mean(dim=1)
        + weights.pose_off_prior * prior.off_basis(pose).square().mean(dim=1)
        + weights.limits * prior.beyond_limits(pose).square().mean(dim=1)
        + weights.shape_prior * state.parameters.shape.square().mean(dim=1)
        + weights.texture_prior * (state.texture - start.texture).square().mean(dim=1)
        + weights.light_prior * (lights[0] - lights[1]).square().mean(dim=1)
    )
