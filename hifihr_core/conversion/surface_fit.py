"""Fit a hand model to points that correspond to its vertices: damped Gauss-Newton on rotation, pose, shape and root.

As in `lifting.fitting`, the Jacobian comes from a batched forward pass with every parameter perturbed, but in float64.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.placed_hands import PlacedHands, map_tensors

_STEP = 1e-4


@dataclass(frozen=True)
class FitTrust:
    """Standard deviations of vertices and joints from their targets, metres, and of pose and shape from the priors.

    Those of pose and shape are in standard deviations of the model's priors.
    """

    vertex_m: float = 2e-3
    joint_m: float = 4e-3
    pose_prior: float = 6.0
    shape_prior: float = 3.0


@dataclass(frozen=True)
class Targets:
    """Target positions of vertices and the 21 joints, camera frame, metres; a weight of 0 means no target.

    Point n is the target of vertex ``which[n]``; without `which`, every vertex has a target. With `normals`, distances
    along the normal count fully, and distances along the surface a tenth as much.
    """

    vertices: Float[Tensor, "B N 3"]
    vertex_weights: Float[Tensor, "B N"]
    joints: Float[Tensor, "B 21 3"]
    joint_weights: Float[Tensor, "B 21"]
    normals: Float[Tensor, "B N 3"] | None = None
    which: Int[Tensor, " N"] | None = None


def fit_to_surface(
    model: HandModel, start: PlacedHands, targets: Targets, *, steps: int = 12, trust: FitTrust = FitTrust()
) -> PlacedHands:
    """Move the model from `start` onto its targets, in float64; steps that do not lower the cost are rejected.

    The fitted vertices are those of ``model(parameters) + root_cam``. No gradients are recorded.
    """
    with torch.no_grad():
        size = 6 + model.pose_dim + model.shape_dim
        x = targets.vertices.new_zeros(len(start), size)
        damping = x.new_full((len(start),), 1e-3)
        residuals = _residuals(model, start, targets, trust, x)
        for _ in range(steps):
            normal, gradient = _normal_equations(model, start, targets, trust, x, residuals)
            ridge = torch.diag_embed(damping[:, None] * torch.diagonal(normal, dim1=1, dim2=2).clamp_min(1e-9))
            trial = x - torch.linalg.solve(normal + ridge, gradient)
            trial_residuals = _residuals(model, start, targets, trust, trial)
            better = trial_residuals.square().sum(1) < residuals.square().sum(1)
            x = torch.where(better[:, None], trial, x)
            residuals = torch.where(better[:, None], trial_residuals, residuals)
            damping = torch.where(better, damping / 5, damping * 10).clamp(1e-9, 1e6)
        return _apply(start, x)


def _normal_equations(
    model: HandModel,
    start: PlacedHands,
    targets: Targets,
    trust: FitTrust,
    x: Float[Tensor, "B D"],
    residuals: Float[Tensor, "B R"],
) -> tuple[Float[Tensor, "B D D"], Float[Tensor, "B D"]]:
    """Return J^T J and J^T r, computed one hand at a time to save memory: for one MANO, J has 2,452 x 61 entries."""
    size = x.shape[1]
    normals, gradients = [], []
    for i in range(len(x)):

        def again(values: Tensor, i: int = i) -> Tensor:
            return values[i : i + 1].expand(size, *values.shape[1:])

        moved = x[i] + _STEP * torch.eye(size, dtype=x.dtype)
        row = replace(map_tensors(again, replace(targets, which=None)), which=targets.which)
        values = _residuals(model, map_tensors(again, start), row, trust, moved)
        jacobian = (values - residuals[i]) / _STEP
        normals.append(jacobian @ jacobian.T)
        gradients.append(jacobian @ residuals[i])
    return torch.stack(normals), torch.stack(gradients)


def _residuals(
    model: HandModel, start: PlacedHands, targets: Targets, trust: FitTrust, x: Float[Tensor, "B D"]
) -> Float[Tensor, "B R"]:
    hands = _apply(start, x)
    posed = model(hands.parameters)
    vertices = posed.vertices if targets.which is None else posed.vertices.index_select(1, targets.which)
    off = vertices + hands.root_cam[:, None] - targets.vertices
    if targets.normals is not None:
        across = (off * targets.normals).sum(-1, keepdim=True)
        off = torch.cat((across, 0.1 * (off - across * targets.normals)), dim=-1)
    joints_off = posed.joints + hands.root_cam[:, None] - targets.joints
    prior = model.pose_prior()
    terms = (
        (off * targets.vertex_weights.sqrt()[..., None]).flatten(1) / trust.vertex_m,
        (joints_off * targets.joint_weights.sqrt()[..., None]).flatten(1) / trust.joint_m,
        (hands.parameters.pose - prior.mean) @ prior.whiten / trust.pose_prior,
        hands.parameters.shape / trust.shape_prior,
    )
    return torch.cat(terms, dim=1)


def _apply(start: PlacedHands, x: Float[Tensor, "B D"]) -> PlacedHands:
    """Return the hands at `start` moved by x: a rotation in the camera frame, the root, pose and shape."""
    parameters = start.parameters
    turn, shift, pose, shape = x.split((3, 3, parameters.pose.shape[1], parameters.shape.shape[1]), dim=1)
    moved = HandParameters(
        turns.compose_rotvecs(turn, parameters.global_orient), parameters.pose + pose, parameters.shape + shape
    )
    return replace(start, parameters=moved, root_cam=start.root_cam + shift)
