"""Terms without labels: priors on hands, skins and meshes.

Priors of pose, shape and texture pull towards the mean or, if the setting loss.priors is "start", towards the estimates
of the run's starting network. In parentheses after a term: its name in HiFiHR's code, or its source.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.hands.parameters import HandParameters
from hifihr_core.lookup import needed
from hifihr_core.losses.terms import LossInputs, Ratio, mean_over_present, term


@term("pose_prior")
def pose_prior(inputs: LossInputs) -> Ratio:
    """Mean squared pose, in standard deviations of the hand model's prior (paper: mpose), without global rotation."""
    z = _from_centre(inputs, lambda own: inputs.hand.prior.standardized(own.pose))
    return mean_over_present(inputs, z.square())


@term("joint_limits")
def joint_limits(inputs: LossInputs) -> Ratio:
    """Mean squared excess of every pose coefficient over its limits (S2HAND: pose-limit prior)."""
    excess = inputs.hand.prior.beyond_limits(inputs.prediction.estimate.parameters.pose)
    return mean_over_present(inputs, excess.square())


@term("shape_prior")
def shape_prior(inputs: LossInputs) -> Ratio:
    """Mean squared shape coefficient (paper: mshape)."""
    return mean_over_present(inputs, _from_centre(inputs, lambda own: own.shape).square())


@term("start_depth", requires=("start",))
def start_depth(inputs: LossInputs) -> Ratio:
    """Mean absolute difference of joint depths from those estimated by the run's starting network, metres.

    2D joints in a single picture hardly constrain depth, so without 3D labels no other term does.
    """
    own_m, start_m = inputs.prediction.joints_cam[..., 2], inputs.placed_start.joints_cam[..., 2]
    return mean_over_present(inputs, (own_m - start_m).abs())


@term("texture_prior", requires=("render",))
def texture_prior(inputs: LossInputs) -> Ratio:
    """Mean squared texture coefficient (paper: mtex)."""
    texture = _from_centre(inputs, lambda own: needed(own.texture, "the texture"))
    return mean_over_present(inputs, texture.square())


@term("laplacian")
def laplacian(inputs: LossInputs) -> Ratio:
    """Mean squared distance of each vertex from the mean of its neighbours, square centimetres (S2HAND)."""
    offsets_m = laplacian_offsets(inputs.prediction.hand.vertices, inputs.hand.edges)
    return mean_over_present(inputs, (100 * offsets_m).square().sum(dim=-1))


@term("texture_smoothness", requires=("render",))
def texture_smoothness(inputs: LossInputs) -> Ratio:
    """Mean absolute difference of neighbouring albedo: texels of a map, or the two ends of an edge."""
    appearance = inputs.appearance
    albedo = appearance.albedo
    if appearance.uvs is None:
        edges = inputs.hand.edges
        return mean_over_present(inputs, (albedo[:, edges[:, 0]] - albedo[:, edges[:, 1]]).abs())
    across, down = albedo.diff(dim=-1).abs().flatten(1), albedo.diff(dim=-2).abs().flatten(1)
    return mean_over_present(inputs, torch.cat((across, down), dim=1))


def _from_centre(inputs: LossInputs, read: Callable[[HandParameters], Float[Tensor, "B D"]]) -> Float[Tensor, "B D"]:
    """Return the parameters that `read` selects, relative to the centre of this run's priors."""
    own = read(inputs.prediction.estimate.parameters)
    return own if inputs.start is None else own - read(inputs.start.estimate.parameters)


def laplacian_offsets(vertices: Float[Tensor, "B V 3"], edges: Tensor) -> Float[Tensor, "B V 3"]:
    """Return each vertex minus the mean of its neighbours, metres; a vertex without edges has offset zero."""
    ends = torch.cat((edges, edges.flip(1)))
    sums = torch.zeros_like(vertices).index_add(1, ends[:, 0], vertices[:, ends[:, 1]])
    degree = torch.bincount(ends[:, 0], minlength=vertices.shape[1])[:, None]
    return torch.where(degree > 0, vertices - sums / degree.clamp(min=1), 0.0)
