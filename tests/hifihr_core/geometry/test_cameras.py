import pytest
import torch

from hifihr_core.geometry.cameras import (
    K_from_focal,
    focal_px,
    measure_root,
    place_root,
    project,
    transform_K,
    unproject,
)


@pytest.fixture
def points():
    generator = torch.Generator().manual_seed(0)
    spread = torch.rand((2, 7, 3), generator=generator, dtype=torch.float64) - 0.5
    return spread * 0.2 + torch.tensor([0.0, 0.0, 0.6], dtype=torch.float64)


@pytest.fixture
def K():
    return torch.tensor([[500.0, 0.0, 100.0], [0.0, 480.0, 120.0], [0.0, 0.0, 1.0]], dtype=torch.float64).expand(
        2, 3, 3
    )


def test_project_by_hand():
    K = K_from_focal(100.0, width=64, height=48)
    pixel = project(torch.tensor([[0.0, 0.0, 1.0], [0.1, -0.2, 2.0]]), K)
    assert torch.allclose(pixel, torch.tensor([[32.0, 24.0], [37.0, 14.0]]))


def test_unproject_inverts_project(points, K):
    assert torch.allclose(unproject(project(points, K), points[..., 2], K), points)


def test_place_root_inverts_measure_root(points, K):
    root_px, scale = measure_root(points[:, 0], K)
    assert torch.allclose(place_root(root_px, scale, K), points[:, 0])


def test_scale_is_pixels_per_metre_at_the_root(K):
    root = torch.tensor([[0.01, 0.02, 0.5], [0.0, 0.0, 0.7]], dtype=torch.float64)
    _, scale = measure_root(root, K)
    assert torch.allclose(scale, focal_px(K) / root[:, 2])


def test_transform_moves_pixels(points, K):
    T = torch.tensor([[0.5, 0.0, -3.0], [0.0, 0.5, 2.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    moved = project(points, transform_K(K, T.expand(2, 3, 3)))
    assert torch.allclose(moved, project(points, K) * 0.5 + torch.tensor([-3.0, 2.0], dtype=torch.float64))


def test_gradients(points, K):
    K = K.clone().requires_grad_()
    points = points.requires_grad_()
    assert torch.autograd.gradcheck(project, (points, K))
    root_px, scale = (x.detach().requires_grad_() for x in measure_root(points[:, 0], K))
    assert torch.autograd.gradcheck(place_root, (root_px, scale, K))
