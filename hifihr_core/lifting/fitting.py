"""Fit a hand to 2D keypoints: damped Gauss-Newton on pose, shape and root, with the hand's own prior.

The lifter's output is off by a few per cent of the hand's size; a handful of steps on the reprojection error remove
most of that. The Jacobian comes from one batched forward pass of the hand model with each parameter perturbed, which
works with any `HandModel`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.gauss_newton import (
    FIRST_DAMPING,
    damped_step,
    next_damping,
    robust_residuals,
    values_and_jacobian,
)
from hifihr_core.hands import HandModel
from hifihr_core.hands.rotations import rotation_matrices
from hifihr_core.placed_hands import PlacedHands, map_tensors
from hifihr_core.skeleton import TIPS, WRIST

#: S2HAND's weights for the keypoint loss: the wrist and the tips fix the hand.
_JOINT_WEIGHTS = tuple(2.0 if j == WRIST else 1.5 if j in TIPS else 1.0 for j in range(21))


@dataclass(frozen=True)
class FitWeights:
    """Standard deviations of the residuals, by which a fit divides them.

    `keypoint` and `outlier` are fractions of half the hand's size in the image; a keypoint whose error exceeds
    `outlier` loses influence. `start_pose` (radians), `start_turn` (radians) and `start_shape` keep a hand near its
    start, and `start_log_depth` its distance; infinity means that they do not. They are for a start that is based on
    more than the keypoints, so that errors of the keypoints do not spoil it. `pose_prior` and `shape_prior` are in
    standard deviations of the hand's priors, `pose_off_prior` in radians.
    """

    keypoint: float = 0.045
    outlier: float = 0.08
    pose_prior: float = 1.5
    pose_off_prior: float = 0.2
    limit_rad: float = 0.05
    shape_prior: float = 1.0
    start_pose: float = math.inf
    start_turn: float = math.inf
    start_log_depth: float = math.inf
    start_shape: float = math.inf


#: For hands that the eyes saw and the hand network lifted, compared in the eyes' joint definition: the priors are
#: weaker than elsewhere, so that the fit follows the eyes and stays near the lift in what the joints leave open.
#: Doubtful keypoints already have less weight (see `lifting/second_sight.py`), so hardly any counts as an outlier.
SEEN_HANDS = FitWeights(
    keypoint=0.035,
    outlier=0.4,
    pose_prior=2.5,
    pose_off_prior=0.4,
    shape_prior=2.0,
    start_pose=0.5,
    start_turn=0.5,
    start_log_depth=0.17,
    start_shape=1.0,
)


@dataclass(frozen=True)
class _Problem:
    hand: HandModel
    keypoints_px: Float[Tensor, "B 21 2"]
    confidence: Float[Tensor, "B 21"]
    K: Float[Tensor, "B 3 3"]
    unit_px: Float[Tensor, " B"]
    start: PlacedHands
    weights: FitWeights
    definition: Float[Tensor, "21 21"] | None


def fit_keypoints(
    hand: HandModel,
    start: PlacedHands,
    keypoints_px: Float[Tensor, "B 21 2"],
    confidence: Float[Tensor, "B 21"],
    K: Float[Tensor, "B 3 3"],
    *,
    steps: int = 5,
    weights: FitWeights = FitWeights(),
    definition: Float[Tensor, "21 21"] | None = None,
) -> PlacedHands:
    """Move right hands from `start` onto their keypoints; steps that do not lower the cost are rejected.

    Joints of confidence 0 are ignored. If the keypoints are defined differently from the hand's joints, row k of
    `definition` gives keypoint k as a weighted sum of those joints (see `seen_definition`); the hands keep their own
    definition. No gradients are recorded.
    """
    seen = (confidence > 0)[..., None]
    far = torch.finfo(keypoints_px.dtype).max
    low = torch.where(seen, keypoints_px, far).amin(dim=1)
    high = torch.where(seen, keypoints_px, -far).amax(dim=1)
    unit_px = torch.where(seen.any(dim=(1, 2)), (high - low).amax(dim=1) / 2, 1.0).clamp_min(1.0)
    points = torch.where(seen, keypoints_px, 0.0)  # an ignored joint may be anything, even not finite
    problem = _Problem(hand, points, confidence, K, unit_px, start, weights, definition)
    with torch.no_grad():
        return move_hands(start, _descend(problem, steps))


def _descend(problem: _Problem, steps: int) -> Float[Tensor, "B D"]:
    batch, pose_dim = problem.start.parameters.pose.shape
    size = 6 + pose_dim + problem.hand.shape_dim
    around = partial(_residuals, _repeat(problem, size + 1))
    x = problem.keypoints_px.new_zeros(batch, size)
    damping = x.new_full((batch,), FIRST_DAMPING)
    residuals, jacobian = values_and_jacobian(around, x)
    for step in range(1, steps + 1):
        trial = x + damped_step(jacobian, residuals, damping)
        # The derivatives at the last trial are not needed.
        found, slopes = values_and_jacobian(around, trial) if step < steps else (_residuals(problem, trial), jacobian)
        better = found.square().sum(dim=1) < residuals.square().sum(dim=1)
        x = torch.where(better[:, None], trial, x)
        residuals = torch.where(better[:, None], found, residuals)
        jacobian = torch.where(better[:, None, None], slopes, jacobian)
        damping = next_damping(damping, better)
    return x


def _residuals(problem: _Problem, x: Float[Tensor, "B D"]) -> Float[Tensor, "B R"]:
    weights = problem.weights
    turn, across, log_depth, pose, shape = _parts(problem.start, x)
    start = problem.start.parameters
    parameters = replace(start, pose=start.pose + pose, shape=start.shape + shape)
    # Turning the joints about the root takes less time than a new global rotation.
    joints = problem.hand.joints_of(parameters) @ rotation_matrices(turn).mT
    joints_cam = joints + _moved_root(problem.start, across, log_depth)[:, None]
    if problem.definition is not None:
        joints_cam = problem.definition.to(joints_cam) @ joints_cam
    offset = (project(joints_cam, problem.K) - problem.keypoints_px) / problem.unit_px[:, None, None]
    robust = robust_residuals(offset, weights.outlier) / weights.keypoint
    trust = problem.confidence * offset.new_tensor(_JOINT_WEIGHTS)
    prior = problem.hand.pose_prior()
    terms = (
        (robust * trust[..., None]).flatten(1),
        prior.standardized(parameters.pose) / weights.pose_prior,
        prior.off_basis(parameters.pose) / weights.pose_off_prior,
        prior.beyond_limits(parameters.pose) / weights.limit_rad,
        parameters.shape / weights.shape_prior,
        _from_start(x, parameters.pose.shape[1], weights),
    )
    return torch.cat(terms, dim=1)


def _from_start(x: Float[Tensor, "B D"], pose_dim: int, weights: FitWeights) -> Float[Tensor, "B D"]:
    """Return the residuals that keep each hand near its start; its sideways position is free."""
    shape_dim = x.shape[1] - 6 - pose_dim
    place = ((weights.start_turn, 3), (math.inf, 2), (weights.start_log_depth, 1))
    parts = (*place, (weights.start_pose, pose_dim), (weights.start_shape, shape_dim))
    return x / x.new_tensor([sigma for sigma, count in parts for _ in range(count)])


def move_hands(start: PlacedHands, x: Float[Tensor, "B D"]) -> PlacedHands:
    """Return the hands moved by x: a rotation, the root across its ray and along it, pose and shape.

    The rotation is a rotation vector in the camera frame, radians. The root moves across its ray by fractions of its
    depth, and along it by a change of the logarithm of its distance. Pose and shape have the units of their
    coefficients.
    """
    parameters = start.parameters
    turn, across, log_depth, pose, shape = _parts(start, x)
    orient = turns.compose_rotvecs(turn, parameters.global_orient)
    moved = replace(parameters, global_orient=orient, pose=parameters.pose + pose, shape=parameters.shape + shape)
    return PlacedHands(moved, _moved_root(start, across, log_depth))


def _parts(start: PlacedHands, x: Float[Tensor, "B D"]) -> Sequence[Tensor]:
    """Split x into the rotation, the root across its ray and along it, pose and shape."""
    return x.split((3, 2, 1, start.parameters.pose.shape[1], start.parameters.shape.shape[1]), dim=1)


def _moved_root(
    start: PlacedHands, across: Float[Tensor, "B 2"], log_depth: Float[Tensor, "B 1"]
) -> Float[Tensor, "B 3"]:
    root = start.root_cam + torch.cat((across * start.root_cam[:, 2:], torch.zeros_like(log_depth)), dim=1)
    return root * log_depth.clamp(-3, 3).exp()


def _repeat(problem: _Problem, times: int) -> _Problem:
    def again(values: Tensor) -> Tensor:
        return values.repeat_interleave(times, dim=0)

    return replace(
        problem,
        keypoints_px=again(problem.keypoints_px),
        confidence=again(problem.confidence),
        K=again(problem.K),
        unit_px=again(problem.unit_px),
        start=map_tensors(again, problem.start),
    )
