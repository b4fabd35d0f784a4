"""MANO with made-up numbers: a slow twin, both joint definitions, both sides, priors, and FreiHAND's labels."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifihr_core.errors import AssetError, DataError
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.hands.mano.arrays import PARENTS, load_mano_data, mirror_mano, save_mano
from hifihr_core.hands.mano.interchange import export_mano, mirror_mesh, parameters_from_freihand
from hifihr_core.hands.mano.model import TIP_VERTICES, Mano
from hifihr_core.skeleton import ROOT

BASES = [("axis_angle", {}), ("pca", {"num_components": 12})]


@pytest.fixture(scope="module")
def data(mano_path):
    return load_mano_data(mano_path)


def draw(seed, batch=2, pose_dim=45, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    sizes = (3, pose_dim, 10)
    return HandParameters(*(torch.randn(batch, size, generator=generator, dtype=dtype) * 0.7 for size in sizes))


def slow_mano(data, vectors, betas):
    """MANO as in its paper, one hand and one joint at a time: vertices and chain joints, uncentred."""
    tensor = lambda name: torch.from_numpy(getattr(data, name))  # noqa: E731
    rotations = [torch.linalg.matrix_exp(cross(v)) for v in vectors.reshape(16, 3)]
    shaped = tensor("template") + tensor("shape_basis") @ betas
    rest = tensor("joint_regressor") @ shaped
    bends = torch.cat([(rotation - torch.eye(3)).reshape(9) for rotation in rotations[1:]])
    points = shaped + tensor("pose_basis") @ bends
    motions = []
    for j, parent in enumerate(PARENTS):
        about = torch.eye(4, dtype=torch.float64)
        about[:3, :3], about[:3, 3] = rotations[j], rest[j] - rotations[j] @ rest[j]
        motions.append(about if parent < 0 else motions[parent] @ about)
    motions = torch.stack(motions)
    homogeneous = torch.cat((points, torch.ones_like(points[:, :1])), 1)
    vertices = torch.einsum("vj,jrc,vc->vr", tensor("weights"), motions, homogeneous)[:, :3]
    joints = torch.einsum("jrc,jc->jr", motions[:, :3, :3], rest) + motions[:, :3, 3]
    return vertices, joints


def cross(vector):
    x, y, z = vector
    zero = torch.zeros_like(x)
    return torch.stack([torch.stack([zero, -z, y]), torch.stack([z, zero, -x]), torch.stack([-y, x, zero])])


@given(seed=st.integers(0, 2**31))
@settings(max_examples=8, deadline=None)
def test_equals_the_slow_twin(data, seed):
    parameters = draw(seed, batch=1)
    model = Mano(data, joints="ho3d", flat_hand=True, centred=False, dtype=torch.float64)
    hand = model(parameters)
    vertices, joints = slow_mano(
        data, torch.cat((parameters.global_orient, parameters.pose), 1)[0], parameters.shape[0]
    )
    torch.testing.assert_close(hand.vertices[0], vertices, rtol=0, atol=1e-12)
    wrist_thumb_index = [0, 13, 14, 15, 1, 2, 3]
    torch.testing.assert_close(hand.joints[0, [0, 1, 2, 3, 5, 6, 7]], joints[wrist_thumb_index], rtol=0, atol=1e-12)


def test_gradients_equal_those_of_the_twin(data):
    parameters = draw(4, batch=1)
    inputs = [parameters.global_orient, parameters.pose, parameters.shape]
    fast = [tensor.clone().requires_grad_() for tensor in inputs]
    slow = [tensor.clone().requires_grad_() for tensor in inputs]
    out = torch.randn(778, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = Mano(data, flat_hand=True, centred=False, dtype=torch.float64)
    (model(HandParameters(*fast)).vertices[0] * out).sum().backward()
    (slow_mano(data, torch.cat(slow[:2], 1)[0], slow[2][0])[0] * out).sum().backward()
    for one, two in zip(fast, slow, strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("joints", ["freihand", "ho3d"])
def test_gradcheck(data, joints):
    model = Mano(data, pose_basis="pca", num_components=3, joints=joints, dtype=torch.float64)
    parameters = draw(1, batch=1, pose_dim=3)
    inputs = [parameters.global_orient, parameters.pose, parameters.shape[:, :10]]
    pick = torch.randn(21, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def total(*tensors):
        hand = model(HandParameters(*tensors))
        return (hand.joints * pick).sum() + hand.vertices[:, ::97].square().sum()

    assert torch.autograd.gradcheck(total, [tensor.requires_grad_() for tensor in inputs])


def test_gradient_is_finite_in_the_flat_hand(data):
    model = Mano(data, flat_hand=True)
    parameters = [torch.zeros(1, size, requires_grad=True) for size in (3, 45, 10)]
    model(HandParameters(*parameters)).vertices.square().sum().backward()
    for tensor in parameters:
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().sum() > 0


def test_both_joint_definitions(data):
    """FreiHAND regresses joints from the posed skin; HO-3D takes the chain. They share only three tips."""
    parameters = draw(3)
    models = {name: Mano(data, joints=name, centred=False, dtype=torch.float64) for name in TIP_VERTICES}
    hands = {name: model(parameters) for name, model in models.items()}
    regressed = torch.einsum("jv,bvc->bjc", torch.from_numpy(data.joint_regressor), hands["freihand"].vertices)
    torch.testing.assert_close(hands["freihand"].joints[:, [0, 1, 5, 9, 13, 17]], regressed[:, [0, 13, 1, 4, 10, 7]])
    for name, hand in hands.items():
        assert torch.equal(hand.joints[:, [4, 8, 12, 16, 20]], hand.vertices[:, list(TIP_VERTICES[name])])
    torch.testing.assert_close(hands["freihand"].vertices, hands["ho3d"].vertices)


def test_definitions_agree_in_the_rest_pose(data):
    zeros = HandParameters(*(torch.zeros(1, size, dtype=torch.float64) for size in (3, 45, 10)))
    hands = [Mano(data, joints=name, flat_hand=True, dtype=torch.float64)(zeros) for name in TIP_VERTICES]
    bases = [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19]
    torch.testing.assert_close(hands[0].joints[:, bases], hands[1].joints[:, bases], rtol=0, atol=1e-12)


def test_root_frame(data):
    parameters = draw(5)
    hand = Mano(data, dtype=torch.float64)(parameters)
    native = Mano(data, centred=False, dtype=torch.float64)(parameters)
    assert torch.equal(hand.joints[:, ROOT], torch.zeros(2, 3, dtype=torch.float64))
    shift = native.joints[:, ROOT : ROOT + 1]
    torch.testing.assert_close(hand.vertices + shift, native.vertices)
    torch.testing.assert_close(Mano(data, dtype=torch.float64).root_native(parameters), shift[:, 0])


def test_mean_and_flat_hand_differ_by_the_mean(data):
    parameters = draw(6)
    mean = torch.from_numpy(data.hands_mean)
    one = Mano(data, dtype=torch.float64)(parameters)
    two = Mano(data, flat_hand=True, dtype=torch.float64)(replace(parameters, pose=parameters.pose + mean))
    torch.testing.assert_close(one.vertices, two.vertices)


def test_pca_equals_axis_angle(data):
    parameters = draw(7, pose_dim=12)
    angles = parameters.pose @ torch.from_numpy(data.components)[:12]
    one = Mano(data, pose_basis="pca", num_components=12, dtype=torch.float64)(parameters)
    two = Mano(data, dtype=torch.float64)(replace(parameters, pose=angles))
    torch.testing.assert_close(one.vertices, two.vertices)


@pytest.mark.parametrize(("basis", "options"), BASES)
@pytest.mark.parametrize("flat_hand", [False, True])
def test_prior(data, basis, options, flat_hand):
    model = Mano(data, pose_basis=basis, flat_hand=flat_hand, dtype=torch.float64, **options)
    prior = model.pose_prior()
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, len(prior.basis), generator=generator, dtype=torch.float64)
    torch.testing.assert_close((z @ prior.basis) @ prior.whiten, z)
    assert ((prior.limits[:, 0] < prior.mean) & (prior.mean < prior.limits[:, 1])).all()
    expected = torch.from_numpy(data.hands_mean)
    if basis == "axis_angle":
        torch.testing.assert_close(model.axis_angles(model.mean_parameters().pose)[0], expected)
    drawn = model.sample_parameters(64, generator=generator)
    assert drawn.pose.dtype == torch.float32
    assert (drawn.pose >= prior.limits[:, 0].float()).all()
    assert (drawn.pose <= prior.limits[:, 1].float()).all()
    again = model.sample_parameters(64, generator=torch.Generator().manual_seed(9))
    assert torch.equal(again.pose, model.sample_parameters(64, generator=torch.Generator().manual_seed(9)).pose)


def test_mean_hand_is_the_same_in_every_basis(data):
    hands = []
    for basis, flat_hand in [("axis_angle", False), ("axis_angle", True), ("pca", False), ("pca", True)]:
        model = Mano(data, pose_basis=basis, flat_hand=flat_hand, dtype=torch.float64)
        hands.append(model(model.mean_parameters()).vertices)
    for hand in hands[1:]:
        torch.testing.assert_close(hand, hands[0])


@given(seed=st.integers(0, 2**31), side=st.sampled_from(["right", "left"]))
@settings(max_examples=12, deadline=None)
@pytest.mark.parametrize(("basis", "options"), BASES)
def test_exported_parameters_pose_the_exported_mesh(data, basis, options, seed, side):
    """MANO(parameters) + transl is the mesh in the camera frame; for a left hand with MANO's left model."""
    model = Mano(data, pose_basis=basis, dtype=torch.float64, **options)
    parameters = draw(seed, pose_dim=model.pose_dim)
    root_cam = torch.tensor([[0.1, -0.05, 0.6], [-0.2, 0.02, 0.4]], dtype=torch.float64)
    mesh = model(parameters).vertices + root_cam[:, None], model.faces
    if side == "left":
        mesh = mirror_mesh(*mesh)
    out = export_mano(model, parameters, root_cam, side=side)
    native = data if side == "right" else mirror_mano(data)
    other = Mano(native, flat_hand=True, centred=False, dtype=torch.float64)
    posed = other(HandParameters(out.global_orient, out.hand_pose, out.betas))
    torch.testing.assert_close(posed.vertices + out.transl[:, None], mesh[0], rtol=0, atol=1e-12)
    assert torch.equal(other.faces, mesh[1])
    assert signed_volume(*mesh) * signed_volume(model(parameters).vertices, model.faces) > 0


def signed_volume(vertices, faces):
    a, b, c = (vertices[0, faces[:, k]] - vertices[0].mean(0) for k in range(3))
    return (torch.linalg.cross(a, b) * c).sum().item()


def test_mirroring_twice_gives_the_same_hand(data):
    twice = mirror_mano(mirror_mano(data))
    parameters = draw(8)
    one, two = (Mano(d, dtype=torch.float64)(parameters).vertices for d in (data, twice))
    torch.testing.assert_close(one, two)
    assert twice.side == data.side


def test_left_file_is_refused_as_right_hand(data, tmp_path):
    save_mano(mirror_mano(data), tmp_path / "left.npz")
    with pytest.raises(AssetError, match="left hand, expected the right"):
        load_hand("mano", path=tmp_path / "left.npz")


def test_freihand_labels(data):
    """Rotation, pose, betas, root pixel and scale give the labelled root and the mesh around it."""
    generator = torch.Generator().manual_seed(0)
    vectors = 0.5 * torch.randn(3, 58, generator=generator, dtype=torch.float64)
    root = torch.tensor([[0.02, -0.03, 0.6], [0.0, 0.05, 0.8], [-0.1, 0, 0.5]], dtype=torch.float64)
    K = torch.tensor([[480.0, 0, 112], [0, 480.0, 108], [0, 0, 1]], dtype=torch.float64).expand(3, 3, 3)
    pixels = torch.einsum("bij,bj->bi", K, root / root[:, 2:])[:, :2]
    labels = torch.cat((vectors, pixels, 480 / root[:, 2:]), 1)
    parameters, found = parameters_from_freihand(labels, K)
    torch.testing.assert_close(found, root)
    assert torch.equal(parameters.global_orient, vectors[:, :3])
    assert torch.equal(parameters.pose, vectors[:, 3:48])
    assert torch.equal(parameters.shape, vectors[:, 48:])
    hand = Mano(data, dtype=torch.float64)(parameters)
    assert torch.equal((hand.joints + found[:, None])[:, ROOT], found)


def test_colors(data):
    model = Mano(data)
    drawn = model.sample_parameters(8, generator=torch.Generator().manual_seed(0))
    appearance = model(drawn).appearance
    assert appearance.uvs is None
    assert appearance.albedo.shape == (8, 778, 3)
    assert ((appearance.albedo > 0) & (appearance.albedo < 1)).all()
    assert (appearance.albedo.mean((0, 1)).diff() < 0).all()  # skin: red above green above blue
    spread = appearance.albedo.mean(1).std(0)
    within = appearance.albedo.std(1).mean(0)
    assert (spread > within).all()  # hands differ more from each other than from place to place
    plain = model(replace(drawn, texture=torch.zeros(8, model.texture_dim))).appearance.albedo
    assert plain.std(1).max() < 1e-6
    assert model(drawn.untextured).appearance is None


def test_float32_is_close_and_state_is_empty(data):
    parameters = draw(2)
    small = HandParameters(*(t.float() for t in (parameters.global_orient, parameters.pose, parameters.shape)))
    one, two = Mano(data, dtype=torch.float64)(parameters), Mano(data)(small)
    assert two.vertices.dtype == torch.float32
    torch.testing.assert_close(two.vertices.double(), one.vertices, rtol=0, atol=2e-6)
    assert Mano(data).state_dict() == {}  # a checkpoint must not carry the gated file


def test_one_row_equals_that_row_of_many(data):
    model = Mano(data, dtype=torch.float64)
    many = draw(0, batch=4)
    row = HandParameters(*(t[2:3] for t in (many.global_orient, many.pose, many.shape)))
    torch.testing.assert_close(model(row).vertices, model(many).vertices[2:3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose": torch.zeros(2, 44)}, "pose has 44 coefficients, expected 45"),
        ({"shape": torch.zeros(2, 20)}, "shape has 20 coefficients, expected 10"),
        ({"texture": torch.zeros(2, 3)}, "texture has 3 coefficients, expected 48"),
    ],
)
def test_sizes_that_do_not_fit(data, change, message):
    parameters = replace(draw(0, dtype=torch.float32), **change)
    with pytest.raises(ValueError, match=message):
        Mano(data)(parameters)


def test_nan_is_refused_at_the_border_and_names_its_place(data):
    parameters = draw(0)
    parameters.pose[1, 17] = math.nan
    with pytest.raises(DataError, match=r"pose\[1, 17\] is nan"):
        export_mano(Mano(data, dtype=torch.float64), parameters, torch.zeros(2, 3, dtype=torch.float64), side="left")


@pytest.mark.parametrize("count", [0, 46])
def test_number_of_components(data, count):
    with pytest.raises(ValueError, match="expected 1 to 45"):
        Mano(data, pose_basis="pca", num_components=count)
