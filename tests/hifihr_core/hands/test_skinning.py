"""Skinning against hand-worked poses, a slow twin with 4 x 4 matrices, and the group axioms of rotations."""

import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifihr_core.hands.skinning import joint_motions, linear_blend_skinning

TREE = (-1, 0, 1, 0, 3, 4, 0, 2)


def slow_twin(rest_vertices, rest_joints, rotations, weights, parents):
    """One joint after the other, homogeneous matrices, an explicit inverse of the rest pose."""
    posed, joints = [], []
    for b in range(len(rest_vertices)):
        world = []
        for j, parent in enumerate(parents):
            local = torch.eye(4, dtype=rest_vertices.dtype)
            local[:3, :3] = rotations[b, j]
            local[:3, 3] = rest_joints[b, j] - (rest_joints[b, parent] if parent >= 0 else 0)
            world.append(local if parent < 0 else world[parent] @ local)
        relative = []
        for j, transform in enumerate(world):
            rest = torch.eye(4, dtype=rest_vertices.dtype)
            rest[:3, 3] = rest_joints[b, j]
            relative.append(transform @ torch.linalg.inv(rest))
        blended = torch.einsum("vj,jrc->vrc", weights, torch.stack(relative))
        points = torch.cat((rest_vertices[b], torch.ones_like(rest_vertices[b, :, :1])), -1)
        posed.append(torch.einsum("vrc,vc->vr", blended, points)[:, :3])
        joints.append(torch.stack([transform[:3, 3] for transform in world]))
    return torch.stack(posed), torch.stack(joints)


def random_problem(seed, batch=2, vertices=7, parents=TREE, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)  # noqa: E731
    weights = torch.rand(vertices, len(parents), generator=generator, dtype=dtype)
    return (
        draw(batch, vertices, 3),
        draw(batch, len(parents), 3),
        roma.rotvec_to_rotmat(draw(batch, len(parents), 3)),
        weights / weights.sum(1, keepdim=True),
    )


def test_a_bent_elbow():
    """A bone along x with its child bent by 90 degrees about z: the far end points along y."""
    vertices = torch.tensor([[[0.5, 0, 0], [1.5, 0, 0], [1.0, 0, 0]]])
    joints = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0]]])
    rotations = roma.rotvec_to_rotmat(torch.tensor([[[0.0, 0, 0], [0, 0, torch.pi / 2]]]))
    weights = torch.tensor([[1.0, 0], [0, 1], [0.5, 0.5]])
    posed, moved = linear_blend_skinning(vertices, joints, rotations, weights, (-1, 0))
    torch.testing.assert_close(posed, torch.tensor([[[0.5, 0, 0], [1, 0.5, 0], [1, 0, 0]]]))
    torch.testing.assert_close(moved, joints)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_equals_the_slow_twin(seed):
    problem = random_problem(seed)
    for fast, slow in zip(linear_blend_skinning(*problem, TREE), slow_twin(*problem, TREE), strict=True):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)


def test_gradients_equal_those_of_the_twin():
    problem = [tensor.requires_grad_() for tensor in random_problem(3)]
    out = torch.randn(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fast = torch.autograd.grad((linear_blend_skinning(*problem, TREE)[0] * out).sum(), problem)
    slow = torch.autograd.grad((slow_twin(*problem, TREE)[0] * out).sum(), problem)
    for one, two in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_gradcheck():
    problem = [tensor.requires_grad_() for tensor in random_problem(5, batch=1, vertices=3, parents=(-1, 0, 1))]
    assert torch.autograd.gradcheck(lambda *p: linear_blend_skinning(*p, (-1, 0, 1)), problem)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_a_root_rotation_moves_everything_rigidly(seed):
    vertices, joints, rotations, weights = random_problem(seed)
    turn = random_problem(seed + 1)[2][:, 0]
    turned = rotations.clone()
    turned[:, 0] = turn @ rotations[:, 0]
    before = linear_blend_skinning(vertices, joints, rotations, weights, TREE)
    after = linear_blend_skinning(vertices, joints, turned, weights, TREE)
    for one, two in zip(before, after, strict=True):
        torch.testing.assert_close((one - joints[:, :1]) @ turn.transpose(1, 2) + joints[:, :1], two)


def test_one_row_equals_that_row_of_many():
    problem = random_problem(9, batch=4)
    many = linear_blend_skinning(*problem, TREE)
    one = linear_blend_skinning(*(tensor[2:3] for tensor in problem[:3]), problem[3], TREE)
    for whole, row in zip(many, one, strict=True):
        torch.testing.assert_close(whole[2:3], row)


def test_rest_pose_stays():
    vertices, joints, _, weights = random_problem(0)
    eye = torch.eye(3, dtype=torch.float64).expand(2, len(TREE), 3, 3)
    posed, moved = linear_blend_skinning(vertices, joints, eye, weights, TREE)
    torch.testing.assert_close(posed, vertices)
    torch.testing.assert_close(moved, joints)


def test_trains_after_a_first_call_in_inference_mode():
    parents = (-1, 0, 0, 2)
    problem = random_problem(2, parents=parents)
    with torch.inference_mode():
        linear_blend_skinning(*problem, parents)
    rotations = problem[2].clone().requires_grad_()
    linear_blend_skinning(problem[0], problem[1], rotations, problem[3], parents)[0].sum().backward()
    assert rotations.grad is not None


@pytest.mark.parametrize("parents", [(0, 0), (-1, 2, 0), (-1, -1), (-1, 1)])
def test_a_tree_out_of_order_is_refused(parents):
    rotations = torch.eye(3).expand(1, len(parents), 3, 3)
    with pytest.raises(ValueError, match="parents before"):
        joint_motions(rotations, torch.zeros(1, len(parents), 3), parents)
