from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import ConfigError
from hifihr_core.exports.clips import flat_to_photo
from hifihr_core.exports.scenes import SceneHand
from hifihr_core.exports.textured_meshes import TexturedMesh, mirror_x
from hifihr_core.exports.usd import write_usdz


@pytest.mark.parametrize("moving", [False, True])
def test_usd_poses_the_hands_as_they_are(tmp_path: Path, mesh: TexturedMesh, moving: bool) -> None:
    usd = pytest.importorskip("pxr.Usd", reason="usd-core is not installed: pip install 'hifihr[usd]'")
    from pxr import UsdGeom, UsdSkel

    other = mirror_x(mesh)
    clips = [flat_to_photo(mesh.rig)] if moving else None
    write_usdz(tmp_path / "a.usdz", [SceneHand(mesh, clips=clips), SceneHand(other, side="left")])
    stage = usd.Stage.Open(str(tmp_path / "a.usdz"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    for number, one in enumerate((mesh, other)):
        root = UsdSkel.Root(stage.GetPrimAtPath(f"/Photo/Hand_{number}"))
        cache = UsdSkel.Cache()
        cache.Populate(root, usd.PrimDefaultPredicate)
        skeleton = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath(f"/Photo/Hand_{number}/Skeleton")))
        shape = stage.GetPrimAtPath(f"/Photo/Hand_{number}/Mesh")
        times = [usd.TimeCode(0)] if moving and number == 0 else [usd.TimeCode.Default(), usd.TimeCode(0)]
        for time in times:
            points = UsdGeom.Mesh(shape).GetPointsAttr().Get()
            motions = skeleton.ComputeSkinningTransforms(time)
            assert cache.GetSkinningQuery(shape).ComputeSkinnedPoints(motions, points, time)
            # Scales are half floats.
            np.testing.assert_allclose(np.array(points), one.vertices * [1, -1, -1], atol=2e-4)
        assert (
            skeleton.GetJointOrder()[1] == f"{('right', 'left')[number]}Hand/{('right', 'left')[number]}MiddleProximal"
        )


def test_without_usd_core_the_extra_is_named(tmp_path: Path, mesh: TexturedMesh, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    with pytest.raises(ConfigError, match=r"hifihr\[usd\]"):
        write_usdz(tmp_path / "a.usdz", [SceneHand(mesh)])
