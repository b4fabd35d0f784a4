import numpy as np
import pytest
import torch

from hifihr_core.errors import AssetError
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.hands.anny.bones import load_bone_weights
from hifihr_core.hands.armature import Armature
from hifihr_core.skeleton import JOINT_NAMES, PARENTS, TIPS


@pytest.fixture(params=["anny", "mano", "nimble"])
def hand(request, mano_path, nimble_path):
    options = {"anny": {"texture_px": 32}, "mano": {"path": mano_path}, "nimble": {"path": nimble_path}}
    joints = "freihand" if request.param == "anny" else "ho3d"
    return load_hand(request.param, joints=joints, **options[request.param]).double()


def drawn(hand, batch: int, seed: int) -> HandParameters:
    one = hand.sample_parameters(batch, generator=torch.Generator().manual_seed(seed))
    return HandParameters(one.global_orient.double(), one.pose.double(), one.shape.double())


def skinned(armature: Armature) -> torch.Tensor:
    motions = armature.T_root_bone @ torch.linalg.inv(armature.T_bind_bone)
    carried = torch.einsum("bnxy,bvy->bnvx", motions[..., :3, :3], armature.bind_vertices)
    return torch.einsum("vn,bnvx->bvx", armature.weights, carried + motions[:, :, None, :3, 3])


def test_the_armature_poses_the_surface(hand) -> None:
    parameters = drawn(hand, 40, seed=11)
    error = torch.linalg.vector_norm(skinned(hand.armature(parameters)) - hand(parameters).vertices, dim=-1)
    if hand.name == "anny":  # a fit: sixteen bones for thirty-three
        assert error.mean() < 0.7e-3
        assert error.quantile(0.99) < 3e-3
    else:
        assert error.max() < 1e-6


def test_bones_lie_along_their_fingers(hand) -> None:
    armature = hand.armature(drawn(hand, 2, seed=3))
    assert (len(armature.names), armature.parents[0]) == (armature.T_bind_bone.shape[1], -1)
    for frames in (armature.T_bind_bone, armature.T_root_bone):
        turns = frames[..., :3, :3]
        eye = torch.eye(3).double().expand_as(turns)
        torch.testing.assert_close(turns @ turns.transpose(-1, -2), eye, atol=1e-6, rtol=0)
        torch.testing.assert_close(torch.linalg.det(turns), torch.ones(turns.shape[:2]).double())
    place = {name: bone for bone, name in enumerate(armature.names)}
    for child, parent in (("index_pip", "index_mcp"), ("pinky_tip", "pinky_dip"), ("thumb_ip", "thumb_mcp")):
        offset = torch.linalg.inv(armature.T_bind_bone[:, place[parent]]) @ armature.T_bind_bone[:, place[child]]
        along = offset[:, :3, 3]
        torch.testing.assert_close(along, along[:, 1:2] * torch.eye(3)[1].double(), atol=1e-6, rtol=0)
        assert (along[:, 1] > 0.001).all()
    torch.testing.assert_close(armature.T_bind_bone[:, 0], torch.eye(4).double().expand(2, 4, 4), atol=1e-6, rtol=0)


def test_weights_are_few_and_sum_to_one(hand) -> None:
    armature = hand.armature(drawn(hand, 1, seed=0))
    torch.testing.assert_close(armature.weights.sum(1), torch.ones(hand.num_vertices).double(), atol=1e-6, rtol=0)
    if hand.name == "anny":
        assert ((armature.weights > 0).sum(1) <= 4).all()


def test_a_positive_turn_about_x_curls_every_finger() -> None:
    hand = load_hand("anny", texture_px=32).double()
    neutral, curled = drawn(hand, 1, seed=0), drawn(hand, 1, seed=0)
    neutral.pose.zero_()
    curled.pose.fill_(0)
    curled.pose[:, [8, 12, 17, 22]] = 0.5  # PIP flexion of the four fingers
    a, b = (hand.armature(one) for one in (neutral, curled))
    for finger in ("index", "middle", "ring", "pinky"):
        child, parent = (JOINT_NAMES.index(f"{finger}_{joint}") for joint in ("pip", "mcp"))
        turns = [torch.linalg.inv(one.T_root_bone[0, parent]) @ one.T_root_bone[0, child] for one in (a, b)]
        turn = (torch.linalg.inv(turns[0]) @ turns[1])[:3, :3]
        assert turn[1, 1] == pytest.approx(np.cos(0.5), abs=0.02)
        assert turn[2, 1] == pytest.approx(np.sin(0.5), abs=0.02)  # +y turns towards +z, the palm's side


def test_our_joints_are_the_bones(hand) -> None:
    if hand.name == "nimble":
        pytest.skip("NIMBLE's 25 joints are its own")
    hand = load_hand("anny", texture_px=32, joints="ho3d").double() if hand.name == "anny" else hand
    parameters = drawn(hand, 3, seed=5)
    armature = hand.armature(parameters)
    assert (armature.names, armature.parents) == (JOINT_NAMES, PARENTS)
    joints = hand(parameters).joints
    inner = [j for j, name in enumerate(JOINT_NAMES) if not name.endswith("tip")]
    torch.testing.assert_close(armature.T_root_bone[:, inner, :3, 3], joints[:, inner], atol=1e-6, rtol=0)
    if hand.name == "anny":  # a finger's end moves with one bone, its vertex with a blend
        tips = torch.linalg.vector_norm(armature.T_root_bone[:, TIPS, :3, 3] - joints[:, TIPS], dim=-1)
        assert tips.max() < 1e-3


def test_a_broken_armature_file_is_named(tmp_path) -> None:
    (tmp_path / "anny_bones.npz").write_bytes(b"not an archive")
    with pytest.raises(AssetError, match=r"anny_bones.npz.*reinstall hifihr"):
        load_bone_weights(tmp_path / "anny_bones.npz")
