import pytest
import torch

from hifihr_core.hands import load_hand


@pytest.fixture(params=["anny", "mano", "nimble"])
def hand(request, mano_path, nimble_path):
    options = {
        "anny": {},
        "mano": {"path": mano_path},
        "nimble": {"path": nimble_path, "joints": "ho3d"},
    }[request.param]
    return load_hand(request.param, **options).double()


def test_the_rig_poses_the_vertices_of_forward(hand) -> None:
    drawn = hand.sample_parameters(3, generator=torch.Generator().manual_seed(5))
    parameters = type(drawn)(drawn.global_orient.double(), drawn.pose.double(), drawn.shape.double())
    rig, posed = hand.rig(parameters), hand(parameters)
    turned = torch.einsum("bnxy,bvy->bnvx", rig.T_root_rest[..., :3, :3], rig.rest_vertices)
    moved = turned + rig.T_root_rest[:, :, None, :3, 3]
    torch.testing.assert_close(torch.einsum("vn,bnvx->bvx", rig.weights, moved), posed.vertices, atol=1e-7, rtol=0)
    assert rig.parents[0] == -1
    assert all(parent < bone for bone, parent in enumerate(rig.parents))
    bottom = rig.T_root_rest[..., 3, :]
    torch.testing.assert_close(bottom, bottom.new_tensor([0.0, 0.0, 0.0, 1.0]).expand_as(bottom))
