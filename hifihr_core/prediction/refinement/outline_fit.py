"""The first stage of a refinement: fit joints and outline, under priors, by damped Gauss-Newton, all hands at once.

Points on the rendered outline are moved onto the mask's outline along its normal (point to line; Chen and
Medioni, "Object modelling by registration of multiple range images", 1992). Points are paired again before every step.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.gauss_newton import (
    FIRST_DAMPING,
    damped_step,
    next_damping,
    numeric_jacobian,
    robust_residuals,
)
from hifihr_core.hands import HandModel
from hifihr_core.lifting.fitting import move_hands
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.photos.masks import beyond_wrist
from hifihr_core.placed_hands import LitHands, PlacedHands, in_front, map_tensors, pose_hands
from hifihr_core.prediction.refinement.outlines import find_outline, pair_outlines
from hifihr_core.rendering.primitives import rasterize

#: Typical error of a start: its rotation, log distance, pose and shape.
_TURN_RAD, _LOG_DEPTH, _POSE, _SHAPE = 0.2, 0.1, 0.5, 1.0


@dataclass(frozen=True)
class OutlineWeights:
    """Weights of the squared terms, and the distances up to which they are quadratic; lengths in crop widths.

    `start` penalises the deviation from the start, because the outline alone does not determine a hand: a small near
    hand looks like a large distant one. Hands without keypoints have a higher penalty, since nothing but their start is
    known of their joints. `reach` is the largest distance between the points of a pair. The fit ends once a
    step lowers the cost of every hand, but of none by the fraction `enough`.
    """

    steps: int = 4
    keypoints: float = 1200.0
    keypoint_outlier: float = 0.02
    outline: float = 1500.0
    outline_outlier: float = 0.005
    reach: float = 0.08
    pose_prior: float = 0.02
    pose_off_prior: float = 2.0
    limits: float = 20.0
    shape_prior: float = 0.05
    start: float = 0.3
    start_without_keypoints: float = 3.0
    enough: float = 0.003


@dataclass(frozen=True)
class _Paired:
    """N surface points (the vertices of a face, and barycentric weights), and the lines onto which they should move."""

    corners: Int[Tensor, "B N 3"]
    bary: Float[Tensor, "B N 3"]
    target_px: Float[Tensor, "B N 2"]
    normals: Float[Tensor, "B N 2"]
    weight: Float[Tensor, "B N"]


@dataclass(frozen=True)
class _Task:
    """The targets of the fit; lengths are in crop widths.

    `trust` contains the weights of the keypoints, `definition` converts the hand's joints to the keypoints' definition,
    and `hold` is the weight of the deviation from the start.
    """

    hand: HandModel
    start: PlacedHands
    K: Float[Tensor, "B 3 3"]
    keypoints: Float[Tensor, "B 21 2"]
    trust: Float[Tensor, "B 21"]
    definition: Float[Tensor, "B 21 21"]
    hold: Float[Tensor, " B"]
    width_px: int
    weights: OutlineWeights

    def repeat(self, times: int) -> "_Task":
        """Return the task with every hand repeated, with the copies of a hand next to each other."""
        names = ("K", "keypoints", "trust", "definition", "hold")
        numbers: dict[str, Any] = {name: _again(getattr(self, name), times) for name in names}
        return replace(self, start=map_tensors(lambda values: _again(values, times), self.start), **numbers)


@torch.no_grad()
def fit_outlines(
    hand: HandModel, start: LitHands, crops: Crops, mask: Bool[Tensor, "B H W"], weights: OutlineWeights
) -> LitHands:
    """Return the hands with joints and outlines fitted to keypoints and masks; skin and light do not change.

    A step that does not lower a hand's cost is rejected. The fit ends when a step lowers the cost of every hand, but
    only slightly, and after at most `weights.steps` steps.
    """
    task = _task_of(hand, start, crops, weights)
    x = crops.K.new_zeros(len(start), 6 + hand.pose_dim + hand.shape_dim)
    size, damping = x.shape[1], x.new_full((len(x),), FIRST_DAMPING)
    copies = task.repeat(size)
    # The photo's border is not an outline, nor are the two pixels next to it.
    inside = functional.max_pool2d((~crops.inside)[:, None].float(), 5, stride=1, padding=2)[:, 0] == 0
    for _ in range(weights.steps):
        paired = _pair(task, move_hands(task.start, x), mask, inside)
        many = map_tensors(lambda values: _again(values, size), paired)
        residuals = _residuals(task, paired, x)
        jacobian = numeric_jacobian(partial(_residuals, copies, many), x, residuals)
        trial = x + damped_step(jacobian, residuals, damping)
        before, after = (one.square().sum(dim=1) for one in (residuals, _residuals(task, paired, trial)))
        better = after < before
        x, damping = torch.where(better[:, None], trial, x), next_damping(damping, better)
        if bool((better & (before - after < weights.enough * before)).all()):
            break
    moved = move_hands(task.start, x)
    return LitHands(replace(moved.parameters, texture=start.texture), moved.root_cam, start.light)


def _task_of(hand: HandModel, start: LitHands, crops: Crops, weights: OutlineWeights) -> _Task:
    width_px = crops.image.shape[-1]
    bare = PlacedHands(start.parameters.untextured, start.root_cam)
    points = torch.where(crops.confidence[..., None] > 0, crops.keypoints_px, 0.0)
    trust = crops.confidence / crops.confidence.sum(dim=1, keepdim=True).clamp_min(1e-3)
    known = (crops.confidence > 0).any(dim=1)
    hold = torch.where(known, weights.start, weights.start_without_keypoints).to(trust)
    definition = crops.definitions(hand.joint_definition)
    return _Task(hand, bare, crops.K, points / width_px, trust, definition, hold, width_px, weights)


def _again(values: Tensor, times: int) -> Tensor:
    return values.repeat_interleave(times, dim=0)


def _pair(task: _Task, hands: PlacedHands, mask: Bool[Tensor, "B H W"], inside: Bool[Tensor, "B H W"]) -> _Paired:
    """Rasterise the hands, and pair points on their outlines with points on those of the masks.

    Only the area `inside` the photo counts, and there only the hand's side of the wrist. Weights from the pseudo-Huber
    cost keep this a least-squares problem (Holland and Welsch, "Robust regression using iteratively reweighted
    least-squares", 1977).
    """
    height, width = mask.shape[-2:]
    posed, weights = pose_hands(task.hand, hands, task.K), task.weights
    seen = rasterize(posed.verts_cam, task.hand.faces, task.K, height=height, width=width)
    allowed = inside & ~beyond_wrist(posed.joints_px, height=height, width=width)
    own, wanted = find_outline(seen.face >= 0, allowed), find_outline(mask, allowed)
    pairs = pair_outlines(own, wanted, reach_px=weights.reach * width)
    place = own.place.gather(1, pairs.of)
    face = seen.face.flatten(1).gather(1, place).clamp_min(0)
    bary = seen.bary.flatten(1, 2).gather(1, _wide(place, 3))
    off = ((own.points_px.gather(1, _wide(pairs.of, 2)) - pairs.target_px) * pairs.normals).sum(dim=-1)
    robust = 1 / (1 + (off / width / weights.outline_outlier).square()).sqrt()
    share = pairs.counts / pairs.counts.sum(dim=1, keepdim=True).clamp_min(1)
    corners = task.hand.faces[face.long()]
    return _Paired(corners, bary, pairs.target_px, pairs.normals, weights.outline * robust * share)


def _wide(index: Int[Tensor, "B N"], channels: int) -> Int[Tensor, "B N C"]:
    return index[..., None].expand(-1, -1, channels)


def _residuals(task: _Task, paired: _Paired, x: Float[Tensor, "B D"]) -> Float[Tensor, "B R"]:
    weights, prior = task.weights, task.hand.pose_prior()
    hands = move_hands(task.start, x)
    posed = pose_hands(task.hand, hands, task.K)
    corners = posed.verts_cam.gather(1, _wide(paired.corners.flatten(1), 3)).unflatten(1, (-1, 3))
    pixels = project(in_front((corners * paired.bary[..., None]).sum(dim=2)), task.K)
    off = ((pixels - paired.target_px) * paired.normals).sum(dim=-1) / task.width_px
    pose, shape = hands.parameters.pose, hands.parameters.shape
    terms = (
        _joint_residuals(task, posed.joints_px),
        off * paired.weight.sqrt(),
        _mean_of(prior.standardized(pose), weights.pose_prior),
        _mean_of(prior.off_basis(pose), weights.pose_off_prior),
        _mean_of(prior.beyond_limits(pose), weights.limits),
        _mean_of(shape, weights.shape_prior),
        _from_start(task, x),
    )
    return torch.cat(terms, dim=1)


def _joint_residuals(task: _Task, joints_px: Float[Tensor, "B 21 2"]) -> Float[Tensor, "B 42"]:
    """Return residuals whose sum of squares is the pseudo-Huber cost of the keypoints."""
    offset = task.definition @ joints_px / task.width_px - task.keypoints
    robust = robust_residuals(offset, task.weights.keypoint_outlier)
    return (robust * (task.weights.keypoints * task.trust[..., None]).sqrt()).flatten(1)


def _from_start(task: _Task, x: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """Return residuals of each hand's deviation from its start; its position across the view is not penalised."""
    pose_dim, shape_dim = task.hand.pose_dim, task.hand.shape_dim
    parts = ((_TURN_RAD, 3), (math.inf, 2), (_LOG_DEPTH, 1), (_POSE, pose_dim), (_SHAPE, shape_dim))
    usual = x.new_tensor([sigma for sigma, count in parts for _ in range(count)])
    return x / usual * (task.hold[:, None] / x.shape[1]).sqrt()


def _mean_of(values: Float[Tensor, "B N"], weight: float) -> Float[Tensor, "B N"]:
    """Return residuals whose sum of squares is `weight` times the mean square of `values`."""
    return values * (weight / values.shape[1]) ** 0.5
