from pathlib import Path

import av
import numpy as np

from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.writing.clip_writer import join_parts, new_clip


def _write(path: Path, frames, times_s) -> Path:
    with new_clip(path, width=64, height=48, fps=30.0) as writer:
        for image, time_s in zip(frames, times_s, strict=True):
            writer.write(image, time_s)
    return path


def test_pictures_keep_their_times(tmp_path: Path, gradient_frames) -> None:
    times = [0.0, 0.04, 0.3, 0.35]
    clip = VideoFile(_write(tmp_path / "a.mp4", gradient_frames(4), times))
    np.testing.assert_allclose([frame.time_s for frame in clip.frames()], times, atol=1e-3)


def test_odd_sizes_lose_a_row(tmp_path: Path) -> None:
    with new_clip(tmp_path / "a.mp4", width=65, height=49, fps=30.0) as writer:
        writer.write(np.zeros((49, 65, 3), dtype=np.uint8), 0.0)
    facts = VideoFile(tmp_path / "a.mp4").facts
    assert (facts.width, facts.height) == (64, 48)


def test_parts_are_joined_with_the_sound(tmp_path: Path, gradient_frames, write_clip) -> None:
    frames = gradient_frames(30)
    original = write_clip(tmp_path / "whole.mp4", frames, audio=True)
    parts = [
        (_write(tmp_path / "0.mp4", frames[:20], np.arange(20) / 30), 0.0),
        (_write(tmp_path / "1.mp4", frames[20:], np.arange(10) / 30), 20 / 30),
    ]
    assert join_parts(tmp_path / "a.mp4", parts, sound=original)
    joined = VideoFile(tmp_path / "a.mp4")
    np.testing.assert_allclose([frame.time_s for frame in joined.frames()], np.arange(30) / 30, atol=1e-3)
    assert joined.notes == []
    with av.open(str(tmp_path / "a.mp4")) as container:
        seconds = sum(frame.samples for frame in container.decode(audio=0)) / 8000
    assert 0.8 < seconds < 1.3


def test_sound_that_does_not_fit_is_omitted(tmp_path: Path, gradient_frames) -> None:
    part = _write(tmp_path / "0.mp4", gradient_frames(5), np.arange(5) / 30)
    (tmp_path / "broken.mp4").write_bytes(b"no sound here")
    assert not join_parts(tmp_path / "a.mp4", [(part, 0.0)], sound=tmp_path / "broken.mp4")
    assert len(list(VideoFile(tmp_path / "a.mp4").frames())) == 5
