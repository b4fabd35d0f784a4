import numpy as np
import pytest
import torch

from hifihr_core.conversion.joint_choice import convert_joints, joint_definition
from hifihr_core.errors import ConfigError
from hifihr_core.hands import HandParameters, load_hand


def test_openpose_is_another_name_of_freihands_joints() -> None:
    assert [joint_definition(name) for name in ("freihand", "openpose", "ho3d")] == ["freihand", "freihand", "ho3d"]
    with pytest.raises(ConfigError, match="openpose"):
        joint_definition("coco")


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_chains_joints_replace_the_rings_and_the_surface_stays(anny, result_of, side: str) -> None:
    result = result_of(anny, side)
    found = convert_joints("anny", "ho3d")(result)
    np.testing.assert_array_equal(found.mesh.vertices, result.mesh.vertices)
    chain = load_hand("anny", joints="ho3d")
    named = {
        name: torch.from_numpy(result.parameters[name]).float()[None] for name in ("global_orient", "pose", "shape")
    }
    posed = chain(HandParameters(**named))
    axis = np.array([-1 if side == "left" else 1, 1, 1])
    from_wrist = (posed.joints[0] - posed.vertices[0, 0]).numpy() * axis
    np.testing.assert_allclose(found.joints_cam - found.mesh.vertices[0], from_wrist, atol=1e-5)
    tips = [4, 8, 12, 16, 20]
    np.testing.assert_allclose(found.joints_cam[tips], result.joints_cam[tips], atol=1e-5)  # tips are the surface's
    moved = np.linalg.norm(np.delete(found.joints_cam - result.joints_cam, tips, axis=0), axis=1)
    assert 1e-4 < moved.max() < 0.02
    projected = found.joints_cam @ result.K.T
    np.testing.assert_allclose(found.joints_px, projected[:, :2] / projected[:, 2:])
    assert found.report["joints"] == "ho3d"
