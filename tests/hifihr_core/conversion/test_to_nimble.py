import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.conversion.converters import build_converter
from hifihr_core.conversion.initial import pose_like
from hifihr_core.conversion.surface_fit import FitTrust, Targets, fit_to_surface
from hifihr_core.conversion.surface_map import SurfaceMap, mapped_vertices
from hifihr_core.conversion.to_nimble import RESIDUAL, NimbleConverter
from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.exports.textured_meshes import mirror_x, posed_mesh
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.nimble.model import Nimble
from hifihr_core.placed_hands import PlacedHands

LOOSE = FitTrust(vertex_m=1e-4, joint_m=1e3, pose_prior=1e4, shape_prior=1e4)


@pytest.fixture
def nimble(nimble_path: Path) -> Nimble:
    return load_hand("nimble", path=nimble_path, joints="ho3d", dtype=torch.float64)


@pytest.fixture
def nimble_map(nimble: Nimble) -> SurfaceMap:
    draw, count = np.random.default_rng(1), len(mapped_vertices(nimble))
    return SurfaceMap(draw.integers(0, 3000, count), draw.dirichlet(np.ones(3), size=count))


@pytest.fixture
def nimble_converter(anny: HandModel, nimble: Nimble, nimble_map: SurfaceMap) -> NimbleConverter:
    return NimbleConverter(anny, nimble, places=nimble_map)


def drawn(nimble: Nimble, seed: int) -> PlacedHands:
    one = nimble.sample_parameters(1, generator=torch.Generator().manual_seed(seed))
    parameters = HandParameters(one.global_orient.double(), 0.3 * one.pose.double(), 0.3 * one.shape.double())
    return PlacedHands(parameters, torch.tensor([[0.1, -0.05, 0.6]], dtype=torch.float64))


def test_nimbles_own_vertices_give_its_hand_back(nimble: Nimble) -> None:
    truth, which = drawn(nimble, seed=2), mapped_vertices(nimble)
    wanted = nimble(truth.parameters).vertices[:, which] + truth.root_cam[:, None]
    near = replace(truth.parameters, pose=truth.parameters.pose + 0.05, shape=0 * truth.parameters.shape)
    one = torch.ones(1, len(which), dtype=torch.float64)
    targets = Targets(wanted, one, wanted[:, :21], 0 * one[:, :21], which=which)
    fitted = fit_to_surface(nimble, PlacedHands(near, truth.root_cam + 0.01), targets, steps=25, trust=LOOSE)
    reached = nimble(fitted.parameters).vertices[:, which] + fitted.root_cam[:, None]
    assert (reached - wanted).norm(dim=-1).mean() < 1e-4


@pytest.mark.parametrize("basis", ["axis_angle", "pca"])
def test_the_start_has_the_pose_of_the_other_hand(nimble_path: Path, basis: str) -> None:
    count = {"num_components": 57} if basis == "pca" else {}
    nimble = load_hand("nimble", path=nimble_path, pose_basis=basis, joints="ho3d", dtype=torch.float64, **count)
    truth = drawn(nimble, seed=3)
    truth = replace(truth, parameters=replace(truth.parameters, shape=0 * truth.parameters.shape))
    start = pose_like(nimble, nimble.armature(truth.parameters), truth.root_cam)
    off = (nimble(start.parameters).vertices - nimble(truth.parameters).vertices).norm(dim=-1)
    assert off.max() < 1e-6
    assert start.parameters.pose.shape == truth.parameters.pose.shape


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_parameters_give_the_mesh_on_either_side(
    nimble: Nimble, nimble_converter: NimbleConverter, anny: HandModel, result_of: Callable, side: str
) -> None:
    found = nimble_converter.convert(result_of(anny, side))
    stored = json.loads(json.dumps(found.document()))
    values = {name: torch.from_numpy(np.asarray(value)).double()[None] for name, value in found.parameters.items()}
    root = values.pop("root_cam")
    mesh = posed_mesh(nimble, PlacedHands(HandParameters(**values), root))
    again = mirror_x(mesh) if side == "left" else mesh
    np.testing.assert_allclose(again.vertices, found.mesh.vertices, atol=1e-9)
    assert (found.hand, found.side, found.licences["nimble"]) == ("nimble", side, "unknown")
    assert found.mesh.texture is not None
    assert stored["report"][RESIDUAL]["vertices_mean"] > 0
    projected = found.joints_cam @ found.K.T
    np.testing.assert_allclose(found.joints_px, projected[:, :2] / projected[:, 2:])


def test_left_is_the_mirror_of_right(nimble_converter: NimbleConverter, anny: HandModel, result_of: Callable) -> None:
    right, left = (nimble_converter.convert(result_of(anny, side)) for side in ("right", "left"))
    np.testing.assert_allclose(left.mesh.vertices, right.mesh.vertices * [-1, 1, 1], atol=1e-9)
    np.testing.assert_allclose(left.joints_cam, right.joints_cam * [-1, 1, 1], atol=1e-9)


def test_the_texture_follows_the_colours(nimble: Nimble, nimble_converter: NimbleConverter) -> None:
    mean, basis = nimble_converter._linear_skin()
    change = torch.einsum("x,xnc->nc", torch.linspace(1.5, -1.5, nimble.texture_dim, dtype=torch.float64), basis)
    found = torch.einsum("x,xnc->nc", nimble_converter._texture(mean + change), basis)
    assert (found - change).norm() < 0.25 * change.norm()
    assert nimble_converter._texture(mean).norm() < 1e-9


def test_another_model_is_refused(anny: HandModel, nimble_converter: NimbleConverter, result_of: Callable) -> None:
    found = nimble_converter.convert(result_of(anny, "right"))
    with pytest.raises(ValueError, match="the hand is of the model 'nimble', expected 'anny'"):
        nimble_converter.convert(found)


@pytest.mark.usefixtures("home")
def test_without_nimble_the_command_that_installs_it_is_named(anny: HandModel) -> None:
    with pytest.raises(AssetError, match="assets import nimble"):
        build_converter("nimble", anny)
    with pytest.raises(ConfigError, match="expected one of mano, nimble"):
        build_converter("smplx", anny)
