"""Fit MANO to points that stand for its vertices: damped Gauss-Newton on rotation, pose, shape and place.

The Jacobian comes from one batched forward pass with every parameter moved a little, in float64, as in
`lifting.fitting`.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.hands.contract import HandParameters
from hifihr_core.hands.mano.model import Mano
from hifihr_core.placed_hands import PlacedHands, map_tensors

_STEP = 1e-4


@dataclass(frozen=True)
class FitTrust:
    """Standard deviations: of a vertex from its point, of a joint from its point, metres; of MANO's priors."""

    vertex_m: float = 2e-3
    joint_m: float = 4e-3
    pose_prior: float = 6.0
    shape_prior: float = 3.0


@dataclass(frozen=True)
class Targets:
    """Where MANO's 778 vertices and 21 joints should be, camera frame, metres; a weight of 0 asks nothing.

    With `normals` a vertex is held across the surface and a tenth as firmly along it.
    """

    vertices: Float[Tensor, "B 778 3"]
    vertex_weights: Float[Tensor, "B 778"]
    joints: Float[Tensor, "B 21 3"]
    joint_weights: Float[Tensor, "B 21"]
    normals: Float[Tensor, "B 778 3"] | None = None


def fit_mano(
    model: Mano, start: PlacedHands, targets: Targets, *, steps: int = 12, trust: FitTrust = FitTrust()
) -> PlacedHands:
    """Move MANO from `start` onto its targets; a step that does not lower the cost is not taken. Float64, no gradients.

    The vertices of ``model(parameters) + root_cam`` are those that are fitted.
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
    model: Mano,
    start: PlacedHands,
    targets: Targets,
    trust: FitTrust,
    x: Float[Tensor, "B D"],
    residuals: Float[Tensor, "B R"],
) -> tuple[Float[Tensor, "B D D"], Float[Tensor, "B D"]]:
    """Return J^T J and J^T r, hand by hand: the Jacobian of one is 2,400 x 61 numbers."""
    size = x.shape[1]
    normals, gradients = [], []
    for i in range(len(x)):

        def again(values: Tensor, i: int = i) -> Tensor:
            return values[i : i + 1].expand(size, *values.shape[1:])

        moved = x[i] + _STEP * torch.eye(size, dtype=x.dtype)
        values = _residuals(model, map_tensors(again, start), map_tensors(again, targets), trust, moved)
        jacobian = (values - residuals[i]) / _STEP
        normals.append(jacobian @ jacobian.T)
        gradients.append(jacobian @ residuals[i])
    return torch.stack(normals), torch.stack(gradients)


def _residuals(
    model: Mano, start: PlacedHands, targets: Targets, trust: FitTrust, x: Float[Tensor, "B D"]
) -> Float[Tensor, "B R"]:
    hands = _apply(start, x)
    posed = model(hands.parameters)
    off = posed.vertices + hands.root_cam[:, None] - targets.vertices
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
    """Move the start by x: a turn in the camera frame, the root, pose, shape."""
    parameters = start.parameters
    turn, shift, pose, shape = x.split((3, 3, parameters.pose.shape[1], parameters.shape.shape[1]), dim=1)
    moved = HandParameters(
        turns.compose_rotvecs(turn, parameters.global_orient), parameters.pose + pose, parameters.shape + shape
    )
    return replace(start, parameters=moved, root_cam=start.root_cam + shift)
