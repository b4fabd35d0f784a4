import json
import socket
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.exports.run_index import write_index
from hifihr_core.hands import HandModel
from hifihr_core.video.clip_viewer import ClipViewer
from hifihr_core.video.live.live_hands import LiveHand
from hifihr_core.video.live.live_page import LivePage
from hifihr_core.video.reading.frames import Frame
from hifihr_core.viewing.stored_tracks import StoredClips, has_tracks

pytest.importorskip("viser", reason="pages need the extra `view`")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def results(tmp_path: Path, anny: HandModel, gradient_frames, write_clip, clip_K) -> Path:
    """Return the results of a clip with a left hand in frames 3 to 12, bridged in the eighth."""
    folder = tmp_path / "results"
    folder.mkdir()
    clip = write_clip(tmp_path / "a.mp4", gradient_frames(20), fps=10)
    frames = np.arange(3, 13)
    np.savez(
        folder / "a_track0.npz",
        hand=anny.name,
        frames=frames,
        times_s=frames / 10,
        seen=frames != 8,
        K=clip_K,
        global_orient=np.zeros((10, 3)),
        pose=np.zeros((10, anny.pose_dim)),
        shape=np.zeros(anny.shape_dim),
        root_cam=np.tile([0.01, 0.0, 0.5], (10, 1)) + np.arange(10)[:, None] * [0.01, 0, 0],
    )
    track = {"track": 0, "side": "left", "files": ["a_track0.npz"]}
    write_index(folder, [{"path": str(clip), "hands": [], "tracks": [track]}])
    return folder


def test_stored_tracks_are_posed(results: Path, anny: HandModel) -> None:
    assert has_tracks(results)
    [track] = StoredClips(results).tracks(0)
    assert [track.row(time_s) for time_s in (0.0, 0.3, 0.44, 1.2, 1.29, 1.4)] == [None, 0, 1, 9, 9, None]
    assert track.seen.tolist() == [1] * 5 + [0] + [1] * 4
    moved = track.vertices_cam(4) - track.vertices_cam(0)
    np.testing.assert_allclose(moved, np.tile([-0.04, 0, 0], (anny.num_vertices, 1)), atol=1e-6)
    np.testing.assert_array_equal(track.faces(), anny.faces.numpy()[:, ::-1])


def test_damaged_and_missing_tracks_are_named(results: Path) -> None:
    (results / "a_track0.npz").write_bytes(b"no numbers")
    with pytest.raises(DataError, match=r"a_track0.npz: not the numbers of a track"):
        StoredClips(results).tracks(0)
    (results / "a_track0.npz").unlink()
    with pytest.raises(DataError, match=r"the \.npz of a track is missing"):
        StoredClips(results).tracks(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hand": "../x"}, r"hand is '\.\./x', expected one of anny, mano, nimble"),
        ({"times_s": np.zeros((0,))}, r"times_s: found no frames \(shape \(0,\)\), expected at least one"),
        ({"times_s": np.arange(10)[::-1]}, "times_s decreases, expected increasing times"),
        ({"seen": np.ones(4, bool)}, r"seen: found bool of shape \(4,\), expected numbers of shape \(10,\)"),
        ({"pose": np.zeros((10, 3))}, r"pose: found float64 of shape \(10, 3\)"),
        ({"root_cam": np.full((10, 3), np.nan)}, "root_cam: found NaN or infinity, expected finite numbers"),
        ({"K": np.full((3, 3), "a")}, "K: found <U1"),
    ],
)
def test_numbers_that_are_not_a_track_are_named(results: Path, change: dict, message: str) -> None:
    with np.load(results / "a_track0.npz") as found:
        arrays = {**found, **change}
    np.savez(results / "a_track0.npz", **arrays)
    with pytest.raises(DataError, match=rf"a_track0\.npz: {message}"):
        StoredClips(results).tracks(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "Left"}, "side of a track is 'Left', expected left or right"),
        ({"side": None}, "side of a track is None"),
        ({"side": ["left"]}, "side of a track is \\['left'\\]"),
        ({"track": "1"}, "track is '1', expected a number"),
        ({"track": True}, "track is True"),
    ],
)
def test_a_damaged_entry_of_a_track_is_named(results: Path, change: dict, message: str) -> None:
    index = json.loads((results / "hands.json").read_text())
    index["photos"][0]["tracks"][0].update(change)
    (results / "hands.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=rf"hands\.json: {message}.*; predict the clip again"):
        StoredClips(results).tracks(0)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b.mp4", ""])
def test_a_clip_whose_name_cannot_be_one_is_no_longer_there(results: Path, name: str) -> None:
    index = json.loads((results / "hands.json").read_text())
    index["photos"][0]["path"] = name
    (results / "hands.json").write_text(json.dumps(index))
    assert StoredClips(results).path(0) is None
    index["photos"][0]["tracks"][0]["files"] = [f"{name}.npz"]
    (results / "hands.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"the \.npz of a track is missing"):
        StoredClips(results).tracks(0)


def test_a_clip_can_be_looked_at(results: Path) -> None:
    viewer = ClipViewer(StoredClips(results), port=_free_port())
    try:
        assert viewer.slider.max == pytest.approx(1.2)
        assert viewer.slider.value == pytest.approx(0.3)
        first = viewer._meshes[0].vertices.copy()
        viewer.slider.value = 0.8
        viewer.draw()
        assert not np.allclose(viewer._meshes[0].vertices, first)
        assert viewer._meshes[0].opacity < 1
        viewer._boxes[0].value = False
        viewer.draw()
        assert viewer._meshes == {}
        viewer._boxes[0].value, viewer.slider.value = True, 0.1
        viewer.draw()
        assert viewer._meshes == {}
    finally:
        viewer.stop()


def test_a_clip_that_plays_is_drawn_once_per_step(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, drawn = ClipViewer(StoredClips(results), port=_free_port()), []
    try:
        monkeypatch.setattr(viewer, "draw", lambda: drawn.append(viewer.slider.value))
        viewer.advance(0.5)
        viewer.advance(0.3)
        viewer.advance(0.2)
        assert drawn == [0.8, 1.1, 0.0]
    finally:
        viewer.stop()


def test_live_hands_come_and_go(anny: HandModel, clip_K) -> None:
    now = [0.0]
    page = LivePage(anny.faces.numpy(), clip_K, 480, port=_free_port(), clock=lambda: now[0])
    image, vertices = np.zeros((480, 640, 3), dtype=np.uint8), np.zeros((anny.num_vertices, 3))
    hand = LiveHand(3, "left", 0.9, np.zeros((21, 2)), np.zeros((21, 3)), vertices, {})
    try:
        page.show(Frame(0, 0.0, image), [hand])
        assert list(page._hands) == [3]
        page.show(Frame(1, 0.03, image), [])  # too soon for a browser
        assert list(page._hands) == [3]
        now[0] = 0.1
        page.show(Frame(2, 0.1, image), [])
        assert page._hands == {}
        assert "frame 2" in page._words.content
    finally:
        page.stop()
