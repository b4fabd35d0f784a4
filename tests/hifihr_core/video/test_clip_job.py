import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.errors import DataError
from hifihr_core.exports.run_index import read_index
from hifihr_core.exports.textured_meshes import TexturedMesh
from hifihr_core.hands import HandModel
from hifihr_core.photos.camera_choice import CameraChoice
from hifihr_core.placed_hands import default_light
from hifihr_core.prediction.predictor import Predictor, PredictSettings
from hifihr_core.video import clip_job
from hifihr_core.video.clip_job import STAGES, ClipOutput, predict_clip
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.writing import overlay_clip
from hifihr_core.video.writing.track_look import TrackLook

COUNT = 10


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(settings=PredictSettings(crop_px=64, texture_px=64))


@pytest.fixture
def quick(predictor: Predictor, anny: HandModel, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """Return a predictor without the closer look or texture: files are tested, not hands."""
    faces = anny.faces.long().numpy()
    grey = TexturedMesh(np.zeros((anny.num_vertices, 3)), faces, vertex_colors=np.full((anny.num_vertices, 3), 0.7))
    look = TrackLook(grey, np.zeros(1), default_light(torch.zeros(1)), None, {})
    monkeypatch.setattr(clip_job, "look_at_tracks", lambda predictor, source, span, tracks, K: {0: look, 1: look})
    monkeypatch.setattr(predictor, "second_sight", None)
    return predictor


@pytest.fixture
def clip(tmp_path: Path, write_clip, numbered) -> VideoFile:
    return VideoFile(write_clip(tmp_path / "two.mp4", [numbered(n) for n in range(COUNT)], audio=True))


@pytest.fixture
def eyes(scripted_eyes, true_hand):
    right, left = true_hand("right", COUNT, x_m=-0.1), true_hand("left", COUNT, seed=5, x_m=-0.12)
    return scripted_eyes([[one, other] for one, other in zip(right.seen, left.seen, strict=True)])


@pytest.mark.parametrize("focal_px", [28.0, 1e300, float("inf")])
def test_a_camera_that_sees_more_or_less_than_cameras_do_is_refused_for_clips_too(clip, focal_px: float) -> None:
    with pytest.raises(DataError, match=r"a focal length of .* does not fit frames of two\.mp4 with"):
        clip_job.clip_camera(clip, CameraChoice(focal_px))
    assert clip_job.clip_camera(clip, None)[0, 0] > 0


class _Killed(Exception):
    pass


def _job(clip, predictor, eyes, folder: Path, on_frame=lambda stage, number: None, **options):
    output, camera = ClipOutput(folder, **options), CameraChoice(focal_px=700.0)
    return predict_clip(clip, predictor, eyes, output, camera=camera, on_frame=on_frame)


def test_a_clip_becomes_tracks(tmp_path: Path, clip, predictor, eyes) -> None:
    stages: list[tuple[str, int]] = []
    done = _job(clip, predictor, eyes, tmp_path / "out", lambda *seen: stages.append(seen))
    assert stages == [(stage, number) for stage in STAGES for number in range(COUNT)]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    tracks = [f"two_track{n}.{ending}" for n in (0, 1) for ending in ("bvh", "glb", "jsonl", "npz")]
    assert names == ["hands.json", "two.json", "two_overlay.mp4", "two_timeline.html", *tracks]
    assert [(track["side"], track["first_frame"], track["last_frame"]) for track in done.tracks] == [
        ("right", 0, COUNT - 1),
        ("left", 0, COUNT - 1),
    ]
    overlay = VideoFile(tmp_path / "out" / "two_overlay.mp4")
    pictures = [frame.image for frame in overlay.frames()]
    assert len(pictures) == COUNT
    assert overlay.facts.has_audio
    plain = [frame.image for frame in clip.frames()]
    changed = np.abs(pictures[9].astype(int) - plain[9]).max(axis=2) > 15
    for n in (0, 1):
        with np.load(tmp_path / "out" / f"two_track{n}.npz") as arrays:
            column, row = arrays["joints_px"][9, 9].astype(int)
            light = [arrays[f"light_{name}"] for name in ("ambient", "color", "direction", "sky")]
        assert [len(values) for values in light] == [COUNT] * 4
        assert changed[row - 10 : row + 11, column - 10 : column + 11].mean() > 0.1  # skin may be as grey as the ground
        assert changed.mean() < 0.4
    [entry] = read_index(tmp_path / "out")
    assert entry["tracks"][0]["files"][0] == "two_track0.glb"
    assert entry["hands"] == []  # which are those of photos
    assert json.loads((tmp_path / "out" / "two.json").read_text())["frames"] == COUNT


SMALL = {"formats": ("npz",), "overlay": False}


def test_a_finished_clip_is_not_done_again_and_other_settings_are_refused(tmp_path: Path, clip, quick, eyes) -> None:
    first = _job(clip, quick, eyes, tmp_path, **SMALL)
    searches, before = eyes.searches, _contents(tmp_path)
    again = _job(clip, quick, eyes, tmp_path, **SMALL)
    assert (again.kept, eyes.searches, _contents(tmp_path)) == (True, searches, before)
    assert again.document() == first.document()
    with pytest.raises(DataError, match=r"already holds results with other settings.*--overwrite"):
        _job(clip, quick, eyes, tmp_path, **SMALL, codec="mpeg4")
    os.utime(clip.path, ns=(1, 1))
    with pytest.raises(DataError, match="another version of this clip"):
        _job(clip, quick, eyes, tmp_path, **SMALL)
    assert _contents(tmp_path) == before


def test_results_that_a_clip_no_longer_has_are_removed(tmp_path: Path, clip, quick, eyes, scripted_eyes) -> None:
    _job(clip, quick, eyes, tmp_path, **SMALL)
    one_hand = scripted_eyes([seen[:1] for seen in eyes.script])
    _job(clip, quick, one_hand, tmp_path, overwrite=True, **SMALL)
    assert sorted(path.name for path in tmp_path.glob("two_track*")) == ["two_track0.npz"]
    _job(clip, quick, scripted_eyes([[]] * COUNT), tmp_path, overwrite=True, **SMALL)
    assert sorted(_contents(tmp_path)) == ["hands.json", "two.mp4"]
    assert read_index(tmp_path)[0]["tracks"] == []


@pytest.mark.parametrize("name", ["two.json", "two_track1.npz", "two_timeline.html"])
def test_foreign_files_are_never_touched(tmp_path: Path, clip, quick, eyes, name: str) -> None:
    (tmp_path / name).write_text("mine")
    for _ in range(2):
        done = _job(clip, quick, eyes, tmp_path, overwrite=True, **SMALL)
        assert [path.name for path in done.files] == ["two_mp4.json"]
        assert (tmp_path / name).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.glob("*.npz") if path.name != name) == [
        "two_mp4_track0.npz",
        "two_mp4_track1.npz",
    ]


def test_two_clips_of_one_name_have_results_of_their_own(
    tmp_path: Path, clip, quick, eyes, write_clip, numbered
) -> None:
    _job(clip, quick, eyes, tmp_path, overwrite=True, **SMALL)
    before = _contents(tmp_path)
    (tmp_path / "b").mkdir()
    other = VideoFile(write_clip(tmp_path / "b" / "two.mp4", [numbered(n) for n in range(COUNT)]))
    done = _job(other, quick, eyes, tmp_path, overwrite=True, **SMALL)
    assert [path.name for path in done.files] == ["two_mp4.json"]
    before.pop("hands.json")
    assert before.items() <= _contents(tmp_path).items()


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(("stage", "at"), [("watch", 4), ("overlay", 7)])
def test_a_killed_run_resumes(tmp_path: Path, clip, quick, eyes, stage: str, at: int) -> None:
    def kill(now: str, number: int) -> None:
        if (now, number) == (stage, at):
            raise _Killed

    whole = _job(clip, quick, eyes, tmp_path / "whole")
    output, camera = ClipOutput(tmp_path / "parts"), CameraChoice(focal_px=700.0)
    with pytest.raises(_Killed):
        predict_clip(clip, quick, eyes, output, camera=camera, on_frame=kill)
    looked: list[int] = []
    again = predict_clip(
        clip,
        quick,
        eyes,
        output,
        camera=camera,
        on_frame=lambda now, number: looked.append(number) if now == "watch" else None,
    )
    assert looked == (list(range(at + 1, COUNT)) if stage == "watch" else [])
    assert [track["side"] for track in again.tracks] == [track["side"] for track in whole.tracks]
    for n in (0, 1):
        with (
            np.load(tmp_path / "whole" / f"two_track{n}.npz") as one,
            np.load(tmp_path / "parts" / f"two_track{n}.npz") as other,
        ):
            np.testing.assert_allclose(other["joints_px"], one["joints_px"], atol=1e-6)
    assert len(list(VideoFile(tmp_path / "parts" / "two_overlay.mp4").frames())) == COUNT
    assert not (tmp_path / "parts" / ".two_work").exists()


@pytest.mark.parametrize(
    ("focal_px", "models", "first"), [(700.0, "these", 4), (900.0, "these", 0), (700.0, "others", 0)]
)
def test_finished_parts_of_an_overlay_are_kept_only_for_the_same_hands(
    tmp_path: Path, clip, quick, eyes, monkeypatch: pytest.MonkeyPatch, focal_px: float, models: str, first: int
) -> None:
    def kill(now: str, number: int) -> None:
        if (now, number) == ("overlay", 6):
            raise _Killed

    monkeypatch.setattr(overlay_clip, "_PART", 4)
    monkeypatch.setattr(quick, "source", "these")
    output, drawn = ClipOutput(tmp_path, formats=(), overwrite=True), []
    with pytest.raises(_Killed):
        predict_clip(clip, quick, eyes, output, camera=CameraChoice(focal_px=700.0), on_frame=kill)
    quick.source = models
    predict_clip(
        clip,
        quick,
        eyes,
        output,
        camera=CameraChoice(focal_px=focal_px),
        on_frame=lambda now, number: drawn.append(number) if now == "overlay" else None,
    )
    assert drawn == list(range(first, COUNT))


def test_no_hands_leave_nothing(tmp_path: Path, clip, quick, scripted_eyes) -> None:
    done = _job(clip, quick, scripted_eyes([[]] * COUNT), tmp_path / "out")
    assert done.tracks == ()
    assert done.frames == COUNT
    assert not list((tmp_path / "out").iterdir())
