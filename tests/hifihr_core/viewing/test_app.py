import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import ConfigError
from hifihr_core.viewing.app import HandViewer, as_trimesh, bone_lines, keypoint_marks
from hifihr_core.viewing.stored_photos import StoredPhotos


@pytest.fixture
def viewer(folder: Path) -> Iterator[HandViewer]:
    pytest.importorskip("viser", reason="viser is not installed: pip install 'hifihr[view]'")
    one = HandViewer(StoredPhotos(folder), port=18080)
    yield one
    one.stop()


def test_the_page_is_served_and_the_hands_are_in_the_scene(viewer: HandViewer) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{viewer.port}") as answer:
        assert b"<html" in answer.read(2000)
    assert [handle.name for handle in viewer._shown] == ["/hands/0", "/hands/1"]
    assert [box.label for box in viewer._hand_boxes] == ["right (0.90)", "left (0.90)"]


def test_switches_and_sliders_change_the_scene(viewer: HandViewer, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []
    add = viewer.server.scene.add_mesh_trimesh

    def remember(name: str, mesh, **options):
        drawn.append(np.asarray(mesh.vertices))
        return add(name, mesh, **options)

    monkeypatch.setattr(viewer.server.scene, "add_mesh_trimesh", remember)
    viewer.draw()
    viewer.sliders["index"].value = 70
    viewer.bones.value = True
    viewer._hand_boxes[1].value = False
    viewer.draw()
    moved = np.linalg.norm(drawn[-2] - drawn[0], axis=1)
    assert 0.02 < moved.max() < 0.2
    assert (moved < 1e-6).mean() > 0.5  # the other fingers and the palm stay
    shown = {handle.name: handle.visible for handle in viewer._shown}
    assert shown == {"/hands/0": True, "/bones/0": True, "/hands/1": False, "/bones/1": False}


def test_keypoints_seen_are_drawn_against_the_joints(viewer: HandViewer) -> None:
    assert viewer.keypoints.visible
    viewer.keypoints.value = True
    viewer.draw()
    assert {handle.name for handle in viewer._shown} >= {"/seen/0", "/joints/0", "/offsets/0", "/hands/1"}
    assert "/seen/1" not in {handle.name for handle in viewer._shown}  # nothing was seen of the left hand
    viewer.keypoints.value = False
    viewer.draw()
    assert [handle.name for handle in viewer._shown] == ["/hands/0", "/hands/1"]


def test_marks_lie_on_the_rays_of_the_keypoints(folder: Path) -> None:
    [right, left] = StoredPhotos(folder).hands(0)
    marks = keypoint_marks(right)
    assert marks.seen.shape == (20, 3)  # one joint was not seen
    pixels = marks.seen @ right.K.T
    np.testing.assert_allclose(pixels[:, 2], marks.joints[:, 2], atol=1e-6)
    off = pixels[:, :2] / pixels[:, 2:] - np.delete(right.joints_px, 4, axis=0)
    np.testing.assert_allclose(off, np.tile([3.0, -4.0], (20, 1)), atol=0.02)
    np.testing.assert_allclose(marks.offsets[:, 1], marks.joints)
    with pytest.raises(ValueError, match="no keypoints"):
        keypoint_marks(left)


def test_the_hand_before_its_refinement_is_shown(viewer: HandViewer, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, np.ndarray] = {}
    add = viewer.server.scene.add_mesh_trimesh

    def remember(name: str, mesh, **options):
        drawn[name] = np.asarray(mesh.vertices)
        return add(name, mesh, **options)

    monkeypatch.setattr(viewer.server.scene, "add_mesh_trimesh", remember)
    viewer.draw()
    after = dict(drawn)
    viewer.before.value = True
    viewer.draw()
    np.testing.assert_allclose(
        drawn["/hands/0"] - after["/hands/0"], np.broadcast_to([0, 0, 0.1], drawn["/hands/0"].shape), atol=1e-4
    )
    np.testing.assert_allclose(drawn["/hands/1"], after["/hands/1"])  # the left hand was not refined


def test_bones_have_the_colours_of_their_fingers(folder: Path) -> None:
    [right, _] = StoredPhotos(folder).hands(0)
    points, colors = bone_lines(right.mesh.rig)
    assert points.shape == colors.shape == (20, 2, 3)
    np.testing.assert_allclose(points[0, 0], right.mesh.rig.T_cam_bone[0, :3, 3], atol=1e-6)
    assert len(np.unique(colors[:, 0], axis=0)) == 5


def test_without_skin_the_mesh_is_grey_and_with_bones_it_is_clear(folder: Path) -> None:
    [right, _] = StoredPhotos(folder).hands(0)
    clay = as_trimesh(right.mesh, right.mesh.vertices, skin=False, opacity=0.5)
    assert clay.visual.material.alphaMode == "BLEND"
    assert np.ptp(np.asarray(clay.visual.material.baseColorTexture)[..., :3]) == 0
    assert as_trimesh(right.mesh, right.mesh.vertices, skin=True).visual.material.alphaMode == "OPAQUE"


@pytest.mark.parametrize("host", ["not a host", "no.such.host.invalid", "192.0.2.1", "a" * 300])
def test_a_host_that_is_not_this_machine_is_refused(folder: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="expected an address of this machine"):
        HandViewer(StoredPhotos(folder), host=host, port=8080)


def test_without_viser_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "viser", None)
    with pytest.raises(ConfigError, match=r"hifihr\[view\]"):
        HandViewer(StoredPhotos(folder))
