from dataclasses import replace

import pytest
import torch

from hifihr_core.conversion.initial import pose_like
from hifihr_core.conversion.surface_fit import FitTrust, Targets, fit_to_surface
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.hands.mano.model import Mano
from hifihr_core.placed_hands import PlacedHands

LOOSE = FitTrust(vertex_m=1e-4, joint_m=1e-4, pose_prior=1e4, shape_prior=1e4)


@pytest.fixture
def mano(mano_path) -> Mano:
    return load_hand("mano", path=mano_path, dtype=torch.float64)


def drawn(mano: Mano, batch: int, seed: int) -> PlacedHands:
    one = mano.sample_parameters(batch, generator=torch.Generator().manual_seed(seed))
    parameters = HandParameters(one.global_orient.double(), one.pose.double(), one.shape.double())
    root = torch.tensor([[0.1, -0.05, 0.6]], dtype=torch.float64).expand(batch, 3)
    return PlacedHands(parameters, root)


def targets_of(mano: Mano, hands: PlacedHands) -> Targets:
    posed = mano(hands.parameters)
    root = hands.root_cam[:, None]
    one = torch.ones(len(hands), 778, dtype=torch.float64)
    return Targets(posed.vertices + root, one, posed.joints + root, one[:, :21])


def test_manos_own_vertices_give_its_parameters_back(mano: Mano) -> None:
    truth = drawn(mano, 2, seed=4)
    near = replace(truth.parameters, pose=truth.parameters.pose + 0.1, shape=truth.parameters.shape * 0)
    start = PlacedHands(near, truth.root_cam + 0.01)
    fitted = fit_to_surface(mano, start, targets_of(mano, truth), steps=25, trust=LOOSE)
    posed, wanted = mano(fitted.parameters), mano(truth.parameters)
    off = posed.vertices + fitted.root_cam[:, None] - wanted.vertices - truth.root_cam[:, None]
    assert off.norm(dim=-1).mean() < 1e-4


def test_points_without_weight_are_not_looked_at(mano: Mano) -> None:
    truth = drawn(mano, 1, seed=5)
    targets = targets_of(mano, truth)
    spoiled = targets.vertices.clone()
    spoiled[:, :300] += 1.0
    weights = targets.vertex_weights.clone()
    weights[:, :300] = 0
    a = fit_to_surface(mano, truth, replace(targets, vertices=spoiled, vertex_weights=weights), steps=3, trust=LOOSE)
    torch.testing.assert_close(a.root_cam, truth.root_cam, atol=1e-6, rtol=0)
    torch.testing.assert_close(a.parameters.pose, truth.parameters.pose, atol=1e-6, rtol=0)


def test_with_normals_a_vertex_may_slide(mano: Mano) -> None:
    still = mano.mean_parameters()
    truth = PlacedHands(HandParameters(still.global_orient, still.pose, still.shape), torch.zeros(1, 3).double())
    targets = targets_of(mano, truth)
    shifted = replace(targets, vertices=targets.vertices + torch.tensor([0.01, 0, 0]))
    normals = torch.tensor([0, 0, 1.0], dtype=torch.float64).expand(1, 778, 3)
    trust = FitTrust(vertex_m=1e-3, joint_m=1e-3, pose_prior=1e-4, shape_prior=1e-4)
    pulled, slid = (
        fit_to_surface(mano, truth, one, steps=5, trust=trust).root_cam[0, 0]
        for one in (shifted, replace(shifted, normals=normals))
    )
    assert pulled > 0.009  # 778 vertices against 21 joints
    assert slid < 0.005  # a hundredth of their weight along the surface


def test_the_start_has_the_pose_of_the_other_hand(mano: Mano) -> None:
    truth = drawn(mano, 3, seed=7)
    flat_shape = replace(truth.parameters, shape=truth.parameters.shape * 0)
    start = pose_like(mano, mano.armature(flat_shape), truth.root_cam)
    off = (mano(start.parameters).vertices - mano(flat_shape).vertices).norm(dim=-1)
    assert off.mean() < 1e-3  # blend shapes move the ends of the fingers, and with them the axes of the last bones
