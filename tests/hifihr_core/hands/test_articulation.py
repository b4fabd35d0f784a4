"""The explicit gradient of bones against autograd's, and rotations against roma."""

import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifihr_core.hands.articulation import _Articulate, articulate, articulate_slowly
from hifihr_core.hands.rotations import rotation_matrices

MANO = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
#: Compiled loops, and the same in torch, which other devices use.
FAST = pytest.mark.parametrize("fast", [articulate, _Articulate.apply], ids=["loops", "torch"])
TREES = [MANO, (-1, 0, 1, 0, 3, 4, 0, 2, 2), (-1,), (-1, 0, 1, 2), (-1, 0, 0, 2, 2, 1)]


def problem(seed, parents, size=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, len(parents), 3)
    vectors = size * torch.randn(shape, generator=generator, dtype=dtype)
    return vectors.requires_grad_(), torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()


@FAST
@given(seed=st.integers(0, 2**31), size=st.sampled_from([1e-9, 1e-4, 0.1, 1.0, 4.0]), tree=st.sampled_from(TREES))
@settings(max_examples=40, deadline=None)
def test_equals_the_slow_twin(fast, seed, size, tree):
    inputs = problem(seed, tree, size)
    results = fast(*inputs, tree), articulate_slowly(*inputs, tree)
    outs = [torch.randn_like(tensor) for tensor in results[0]]
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    grads = [torch.autograd.grad(result, inputs, outs) for result in results]
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-10)


@FAST
@pytest.mark.parametrize("tree", TREES)
def test_gradcheck(fast, tree):
    assert torch.autograd.gradcheck(lambda v, j: fast(v, j, tree), problem(1, tree))


@FAST
def test_single_precision_gradient_near_zero(fast):
    """The coefficient (cos h - sin h / h) / h^2 suffers from cancellation, which must not show."""
    for size in (1e-7, 1e-4, 1e-2):
        vectors, joints = problem(2, MANO, size, torch.float32)
        exact = [tensor.detach().double().requires_grad_() for tensor in (vectors, joints)]
        single = torch.autograd.grad(fast(vectors, joints, MANO)[1].sum(), (vectors, joints))
        double = torch.autograd.grad(articulate_slowly(*exact, MANO)[1].sum(), exact)
        for one, two in zip(single, double, strict=True):
            torch.testing.assert_close(one.double(), two, rtol=1e-4, atol=1e-4)


@FAST
def test_only_one_output_used(fast):
    for index in range(2):
        inputs = problem(3, MANO)
        one = torch.autograd.grad(fast(*inputs, MANO)[index].sum(), inputs[0])
        two = torch.autograd.grad(articulate_slowly(*inputs, MANO)[index].sum(), inputs[0])
        torch.testing.assert_close(one, two)


@given(seed=st.integers(0, 2**31), size=st.sampled_from([0.0, 1e-12, 1e-5, 1.0, 3.14159, 20.0]))
@settings(max_examples=30, deadline=None)
def test_rotations_equal_roma(seed, size):
    vectors = size * torch.randn(5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = rotation_matrices(vectors)
    torch.testing.assert_close(found, roma.rotvec_to_rotmat(vectors), rtol=0, atol=1e-12)
    torch.testing.assert_close(found @ found.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(5, 3, 3))
