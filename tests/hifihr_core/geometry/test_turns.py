"""Every conversion against roma, including rotations near zero and near half a turn."""

import pytest
import roma
import torch

from hifihr_core.geometry import turns


def _vectors(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    axes = torch.nn.functional.normalize(torch.randn(60, 3, generator=generator, dtype=torch.float64), dim=-1)
    angles = torch.cat((torch.linspace(0, 3.1, 50), torch.tensor([0, 1e-12, 1e-8, 1e-6, 1e-3, 3.14, 3.1415, 1, 2, 3])))
    return (axes * angles[:, None]).to(dtype)


def test_vectors_and_matrices() -> None:
    vectors = _vectors()
    R = turns.rotvec_to_rotmat(vectors)
    torch.testing.assert_close(R, roma.rotvec_to_rotmat(vectors), atol=1e-12, rtol=0)
    torch.testing.assert_close(turns.rotmat_to_rotvec(R), vectors, atol=1e-9, rtol=0)
    single = turns.rotmat_to_rotvec(turns.rotvec_to_rotmat(vectors.float()))
    torch.testing.assert_close(single, roma.rotmat_to_rotvec(roma.rotvec_to_rotmat(vectors.float())), atol=2e-5, rtol=0)


def test_quaternions() -> None:
    vectors = _vectors()
    quaternions = turns.rotvec_to_unitquat(vectors)
    torch.testing.assert_close(quaternions, roma.rotvec_to_unitquat(vectors), atol=1e-12, rtol=0)
    torch.testing.assert_close(turns.unitquat_to_rotvec(-quaternions), vectors, atol=1e-9, rtol=0)
    product = turns.quat_product(quaternions, quaternions.flip(0))
    torch.testing.assert_close(product, roma.quat_product(quaternions, quaternions.flip(0)))
    composed = turns.rotvec_to_rotmat(turns.compose_rotvecs(vectors, vectors.flip(0)))
    torch.testing.assert_close(composed, turns.rotvec_to_rotmat(vectors) @ turns.rotvec_to_rotmat(vectors.flip(0)))


def test_gram_schmidt() -> None:
    columns = torch.randn(20, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(turns.gram_schmidt(columns), roma.special_gramschmidt(columns))


@pytest.mark.parametrize(
    "function",
    [
        turns.rotvec_to_rotmat,
        turns.rotvec_to_unitquat,
        lambda v: turns.rotmat_to_rotvec(turns.rotvec_to_rotmat(v)),
        lambda v: turns.compose_rotvecs(v, v.new_tensor([[0.3, -0.2, 0.5]]).expand_as(v)),
    ],
)
def test_gradients_are_right_and_finite_without_a_rotation(function) -> None:
    vectors = _vectors()[5:50:7].clone().requires_grad_()
    assert torch.autograd.gradcheck(function, (vectors,))
    none = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    function(none).sum().backward()
    assert none.grad.isfinite().all()
