import pytest
import torch

from hifihr_core.config.tree import ModelSettings
from hifihr_core.eyes.networks import LandmarkNetwork, load_network
from hifihr_core.hands import load_hand
from hifihr_core.models.backbone_weights import EYES_BACKBONE, find_backbone_weights
from hifihr_core.models.encoders import build_encoder
from hifihr_core.models.table import build_network


def _picture(px: int = 224, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, px, px, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("wanted", ["auto", "hub", "shipped"])
def test_its_weights_are_the_eyes_own(wanted: str) -> None:
    assert find_backbone_weights(EYES_BACKBONE, wanted).origin == "the eyes' landmark network"


def test_it_sees_what_the_landmark_network_sees() -> None:
    encoder = build_encoder(EYES_BACKBONE, weights="auto").eval()
    eyes, picture = load_network(LandmarkNetwork), _picture()
    with torch.no_grad():
        features, low, pyramid = encoder.with_pyramid(picture)
        torch.testing.assert_close(eyes.joints(features), eyes(picture)[0], atol=1e-3, rtol=1e-4)
    assert low.shape == (1, encoder.low_dim, 56, 56)
    assert [tuple(one.shape[1:]) for one in pyramid] == [(40, 28, 28), (112, 14, 14), (192, 7, 7)]
    assert encoder.pyramid_dims == [40, 112, 192]


def test_a_network_on_it_takes_smaller_pictures_and_has_gradients() -> None:
    torch.manual_seed(0)
    settings = ModelSettings(backbone=EYES_BACKBONE, geometry="keypoints")
    network = build_network(settings, load_hand("anny", texture_px=64), image_px=96, weights="auto")
    K = torch.tensor([[[200.0, 0, 48], [0, 200, 48], [0, 0, 1]]]).expand(2, 3, 3)
    estimate = network(_picture(96, 2), K)
    assert estimate.keypoints is not None
    estimate.keypoints.points.sum().backward()
    assert any(one.grad is not None and bool(one.grad.abs().sum() > 0) for one in network.encoder.backbone.parameters())
