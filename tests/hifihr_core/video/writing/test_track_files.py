import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest

from hifihr_core.errors import ConfigError
from hifihr_core.exports.textured_meshes import skinned_vertices
from hifihr_core.skeleton import BONES
from hifihr_core.video.fitting.fitted_track import FittedTrack, TrackFitter, vertices_cam
from hifihr_core.video.fitting.sighted_tracks import sighted_tracks
from hifihr_core.video.reading.frames import ClipFacts
from hifihr_core.video.tracking.journal import SeenFrame
from hifihr_core.video.writing.track_files import TrackContext, check_track_formats, even_clip, track_rig, write_track

FACTS = ClipFacts("a.mp4", 640, 480, 30.0)


@pytest.fixture(scope="module")
def fitted(anny, lifter, true_hand) -> dict[str, tuple]:
    """Return a fitted right and left hand with their ground truths; frames 9 to 12 were not seen."""
    K, fitter, found = np.array([[700.0, 0, 320], [0, 700, 240], [0, 0, 1]]), TrackFitter(anny, lifter), {}
    for side in ("right", "left"):
        truth = true_hand(side, 24)
        frames = [SeenFrame(n, n / 30, False, {} if 9 <= n < 13 else {0: seen}) for n, seen in enumerate(truth.seen)]
        [track] = sighted_tracks(frames, K, 640)
        found[side] = (truth, fitter.fit(track, K))
    return found


@pytest.mark.parametrize("side", ["right", "left"])
def test_fitted_hand_is_where_it_was_seen(fitted, side: str) -> None:
    truth, track = fitted[side]
    rays = truth.joints_cam @ track.K.T
    error = np.linalg.norm(track.joints_px - rays[..., :2] / rays[..., 2:], axis=-1)
    assert track.side == side
    assert error.mean() < 3  # of a hand some 200 pixels high
    assert error[9:13].mean() < 8
    about_root = [joints - joints[:, 9:10] for joints in (track.joints_cam, truth.joints_cam)]
    scale = (about_root[0] * about_root[1]).sum() / (about_root[0] ** 2).sum()
    assert np.linalg.norm(about_root[0] * scale - about_root[1], axis=-1).mean() < 0.012


def test_bones_keep_their_lengths(fitted) -> None:
    _, track = fitted["right"]
    inner = [(a, b) for a, b in BONES if (a, b) in ((5, 6), (9, 10), (6, 7), (10, 11))]
    for a, b in inner:
        lengths = np.linalg.norm(track.joints_cam[:, a] - track.joints_cam[:, b], axis=-1)
        assert np.ptp(lengths) < 0.06 * lengths.mean()  # our joints are rings of skin, which moves a little
    assert track.hand.shape.ndim == 1


@pytest.mark.parametrize("side", ["right", "left"])
def test_armature_carries_the_surface_through_the_clip(anny, fitted, side: str) -> None:
    _, track = fitted[side]
    rig, clip = track_rig(anny, track)
    assert clip.T_cam_bone.shape == (24, 21, 4, 4)
    for frame in (0, 11, 23):
        shown = skinned_vertices(replace(rig, T_cam_bone=clip.T_cam_bone[frame]))
        [true] = vertices_cam(anny, track, slice(frame, frame + 1))
        assert np.linalg.norm(shown - true, axis=1).mean() < 0.002


@pytest.mark.parametrize("side", ["right", "left"])
def test_files_say_the_same(tmp_path: Path, anny, fitted, side: str) -> None:
    _, track = fitted[side]
    files = write_track(tmp_path, "a_track0", track, ("glb", "bvh", "npz", "jsonl"), TrackContext(FACTS, anny))
    assert [path.name for path in files] == [f"a_track0.{name}" for name in ("glb", "bvh", "npz", "jsonl")]
    with np.load(tmp_path / "a_track0.npz") as arrays:
        np.testing.assert_array_equal(arrays["joints_cam"], track.joints_cam)
        np.testing.assert_array_equal(arrays["frames"], np.arange(24))
        assert str(arrays["side"]) == side
    first, *lines = (tmp_path / "a_track0.jsonl").read_text().splitlines()
    assert json.loads(first)["clip"] == "a.mp4"
    rows = [json.loads(line) for line in lines]
    assert [row["frame"] for row in rows] == list(range(24))
    assert [row["score"] == 0 for row in rows] == [9 <= n < 13 for n in range(24)]
    np.testing.assert_allclose([row["joints_px"] for row in rows], track.joints_px, atol=1e-3)
    document = pygltflib.GLTF2().load(str(tmp_path / "a_track0.glb"))
    [animation] = document.animations
    times = document.accessors[animation.samplers[0].input]
    assert (times.count, times.max[0]) == (24, pytest.approx(23 / 30))
    assert len(animation.channels) >= 16
    assert "Frames: 24" in (tmp_path / "a_track0.bvh").read_text()


def test_a_long_track_is_a_small_file(tmp_path: Path, anny, fitted) -> None:
    """Three hundred frames in at most two megabytes, without a texture."""
    _, track = fitted["right"]
    rows = np.arange(300) % 24
    names = ("score", "joints_cam", "joints_px")
    long = replace(
        track,
        frames=np.arange(300),
        times_s=np.arange(300) / 30,
        hand=track.hand.part(rows),
        **{name: getattr(track, name)[rows] for name in names},
    )
    [path] = write_track(tmp_path, "long", long, ("glb",), TrackContext(FACTS, anny))
    assert path.stat().st_size <= 2_000_000


def test_uneven_times_become_even(anny, fitted) -> None:
    _, track = fitted["right"]
    uneven = FittedTrack(**{**vars(track), "times_s": track.times_s + 0.012 * (np.arange(24) % 3 == 1)})
    clip = track_rig(anny, uneven)[1]
    steps = np.diff(even_clip(clip).times_s)
    assert np.ptp(steps) < 1e-9
    assert len(steps) > 10


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(ConfigError, match="fbx"):
        check_track_formats(["glb", "fbx"])


def test_bridged_frames_are_marked(tmp_path: Path, anny, fitted) -> None:
    _, track = fitted["right"]
    npz, jsonl = write_track(tmp_path, "a", track, ("npz", "jsonl"), TrackContext(FACTS, anny))
    lost = [number for number in range(24) if 9 <= number < 13]
    with np.load(npz) as arrays:
        assert np.flatnonzero(~arrays["seen"]).tolist() == lost
    lines = [json.loads(line) for line in jsonl.read_text().splitlines()[1:]]
    assert [line["frame"] for line in lines if not line["seen"]] == lost


@pytest.mark.parametrize("side", ["right", "left"])
def test_hands_end_in_a_stub_as_those_of_photos_do(tmp_path: Path, anny, fitted, side: str) -> None:
    _, track = fitted[side]
    sizes = {}
    for forearm in (True, False):
        folder = tmp_path / str(forearm)
        folder.mkdir()
        [path] = write_track(folder, "a", track, ("glb",), TrackContext(FACTS, anny, forearm=forearm))
        document = pygltflib.GLTF2().load(str(path))
        mesh = document.meshes[0].primitives[0]
        sizes[forearm] = document.accessors[mesh.attributes.POSITION].count
    assert sizes[False] == anny.num_vertices
    assert sizes[True] > anny.num_vertices + 50
