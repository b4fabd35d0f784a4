"""Encoders, heads and the network: sizes, ranges, conventions, and batches of one."""

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.config.tree import ModelSettings
from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.geometry.cameras import K_from_focal, project
from hifihr_core.hands import load_hand
from hifihr_core.models.backbone_weights import BackboneWeights
from hifihr_core.models.encoders import build_encoder
from hifihr_core.models.heads import MAX_COLOR, LightHead, bounded_light, branch, paper_light, trunk
from hifihr_core.models.placing import place_estimate
from hifihr_core.models.reconstructor import MEAN_SCALE, crop_view, read_root, rotation_from_6d
from hifihr_core.models.table import build_network
from hifihr_core.placed_hands import in_front
from hifihr_core.rendering import Renderer

SMALL = "mobilenetv3_small_050"


def make(hand, **model):
    return build_network(ModelSettings(weights="none", **model), hand, image_px=64)


@pytest.fixture(scope="module")
def anny():
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="module")
def network(anny):
    torch.manual_seed(0)
    return make(anny, backbone=SMALL).eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def K():
    return K_from_focal(128.0, width=64, height=64).expand(2, 3, 3)


@pytest.mark.parametrize(
    ("name", "image_px", "feature_dim"),
    [(SMALL, 64, 1024), ("resnet18", 64, 512), ("vit_tiny_patch16_224", 96, 192), ("convnext_atto", 64, 320)],
)
def test_any_timm_backbone_gives_features_and_a_shallow_map(name, image_px, feature_dim):
    encoder = build_encoder(name, image_px=image_px).eval()
    features, low = encoder(torch.rand(1, 3, image_px, image_px))
    assert features.shape == (1, feature_dim) == (1, encoder.feature_dim)
    assert low.shape[1] == encoder.low_dim


def test_the_papers_backbone_has_the_papers_sizes():
    encoder = build_encoder("tf_efficientnet_b3")
    assert (encoder.feature_dim, encoder.low_dim, encoder.low_index) == (1536, 32, 1)


def test_colours_are_normalised_as_the_backbone_was_trained():
    torch.manual_seed(0)
    normal = build_encoder("resnet18").eval()
    raw = build_encoder("resnet18", normalize=False).eval()
    raw.load_state_dict(normal.state_dict())
    image = torch.rand(1, 3, 64, 64)
    mean, std = (
        torch.tensor(timm.get_pretrained_cfg("resnet18").to_dict()[key]).view(3, 1, 1) for key in ("mean", "std")
    )
    assert torch.allclose(normal(image)[0], raw((image - mean) / std)[0], atol=1e-5)


def test_an_unknown_backbone_and_missing_weights_are_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"timm has no model 'resnet19', expected one such as .*resnet"):
        build_encoder("resnet19")
    with pytest.raises(ConfigError, match="timm has no model 'resnet19'"):  # also if no weights can be found
        build_encoder("resnet19", weights="shipped")
    with pytest.raises(AssetError, match="no such file, expected weights of resnet18"):
        build_encoder("resnet18", weights=tmp_path / "none.safetensors")
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(AssetError, match="not weights of resnet18"):
        build_encoder("resnet18", weights=tmp_path / "bad.pth")

    def broken(*arguments, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr(timm, "create_model", broken)
    download = BackboneWeights("the hub", hub="resnet18.a1_in1k")
    with pytest.raises(AssetError, match=r"the download from the model hub failed .*model.weights=FILE"):
        build_encoder("resnet18", weights=download)


def test_backbone_weights_come_from_a_file(tmp_path):
    backbone = timm.create_model("resnet18", pretrained=False)  # with a classifier, which is dropped
    torch.save(backbone.state_dict(), tmp_path / "resnet18.pth")
    encoder = build_encoder("resnet18", weights=tmp_path / "resnet18.pth")
    assert torch.equal(encoder.backbone.conv1.weight, backbone.conv1.weight)


def test_an_untrained_network_gives_the_mean_hand_in_the_centre(anny, network, images, K):
    estimate = network(images, K)
    assert estimate.parameters.pose.shape == (2, anny.pose_dim)
    assert torch.allclose(estimate.parameters.pose, anny.pose_prior().mean.expand(2, -1), atol=0.5)
    assert torch.allclose(estimate.root_px, torch.full((2, 2), 32.0), atol=16)
    assert torch.allclose(estimate.scale_px_per_m, torch.full((2,), 64 * MEAN_SCALE), rtol=0.5)


def test_a_batch_of_one_is_a_row_of_many(network, images, K):
    many, one = network(images, K), network(images[1:], K[1:])
    for name, value in vars(one.parameters).items():
        assert torch.allclose(value, getattr(many.parameters, name)[1:], atol=1e-5)


def test_a_batch_of_one_can_train(anny, images, K):
    network = make(anny, backbone="convnext_atto").train()
    network(images[:1], K[:1]).parameters.pose.sum().backward()


def test_gradients_reach_every_head_through_the_hand(anny, network, images, K):
    prediction = place_estimate(network(images, K), K, anny)
    (prediction.joints_cam.sum() + prediction.joints_px.sum()).backward()
    for name in ("global_orient", "pose", "shape", "root"):
        assert network.branches[name][-1].bias.grad.abs().sum() > 0
    network.zero_grad()


def test_without_shape_and_texture_heads(anny, images, K):
    network = make(anny, backbone=SMALL, mean_shape=True, texture=False).eval()
    estimate = network(images, K)
    assert estimate.light is None
    assert estimate.parameters.texture is None
    assert not estimate.parameters.shape.any()


def test_the_placed_root_projects_onto_its_pixel(anny, network, images, K):
    estimate = network(images, K)
    prediction = place_estimate(estimate, K, anny)
    assert torch.allclose(prediction.joints_px[:, 9], estimate.root_px, atol=1e-2)
    given = torch.tensor([[0.0, 0.0, 0.5]]).expand(2, 3)
    assert torch.equal(place_estimate(estimate, K, anny, root_cam=given).root_cam, given)


def test_rendering_without_a_texture_head_is_a_wrong_call(anny, images, K):
    network = make(anny, backbone=SMALL, texture=False).eval()
    with pytest.raises(ValueError, match="lacks light or texture"):
        place_estimate(network(images, K), K, anny, renderer=Renderer(anny.faces, height=64, width=64))


@given(st.lists(st.floats(-50, 50), min_size=9, max_size=9))
def test_light_stays_in_its_range(numbers):
    light = bounded_light(torch.tensor([numbers]))
    for color in (light.ambient, light.color):
        assert ((color >= 0) & (color <= MAX_COLOR)).all()
    assert float(light.direction.norm()) == pytest.approx(1, abs=1e-4) or light.direction.abs().max() < 1e-3


def test_the_papers_light_has_no_negative_colours():
    light = paper_light(torch.tensor([[-0.5, 0.5, 2.0, 0.0, 0.0, 3.0]]))
    assert torch.equal(light.color, torch.tensor([[0.0, 0.5, 1.0]]))
    assert torch.equal(light.direction, torch.tensor([[0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("side", [56, 28, 32, 14])
def test_the_light_head_accepts_maps_of_any_size(side):
    assert LightHead(32)(torch.rand(2, 32, side, side)).shape == (2, 9)


def test_heads_have_the_papers_sizes():
    layers = trunk(1536)
    assert [(layer.in_features, layer.out_features) for layer in layers if hasattr(layer, "in_features")] == [
        (1536, 1024),
        (1024, 512),
    ]
    assert branch(30)[-1].in_features == 128
    with pytest.raises(ValueError, match="unknown norm 'group', expected one of batch, layer, none"):
        trunk(8, norm="group")


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_six_numbers_are_a_rotation(numbers):
    raw = torch.tensor([numbers], dtype=torch.float64)
    a, b = raw[0, :3], raw[0, 3:]
    if torch.linalg.cross(a, b).norm() < 1e-3:
        return  # parallel triples have no rotation
    R = rotation_from_6d(raw)[0]
    assert torch.allclose(R @ R.T, torch.eye(3, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(R[:, 0], a / a.norm(), atol=1e-6)


def test_the_view_of_a_crop_is_along_its_own_ray():
    K = K_from_focal(100.0, width=64, height=64)[None].clone()
    assert torch.allclose(crop_view(K, height=64, width=64), torch.eye(3)[None], atol=1e-6)
    K[0, 0, 2] += 40.0
    ahead = crop_view(K, height=64, width=64) @ torch.tensor([0.0, 0.0, 1.0])
    assert torch.allclose(project(ahead[:, None], K)[0, 0], torch.tensor([32.0, 32.0]), atol=1e-4)


def test_the_scale_is_bounded():
    _, scale = read_root(torch.tensor([[0.0, 0.0, 100.0], [0.0, 0.0, -100.0]]), height=64, width=64)
    assert (scale / (64 * MEAN_SCALE)).tolist() == pytest.approx([4.4817, 0.2231], rel=1e-3)


def test_points_behind_the_camera_are_brought_before_it():
    points = torch.tensor([[[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]])
    assert torch.allclose(in_front(points)[0, :, 2], torch.tensor([0.01, 1.0]))
