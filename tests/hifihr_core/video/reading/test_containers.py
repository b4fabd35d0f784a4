from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.video.reading.containers import VideoFile, fit_into
from hifihr_core.video.reading.frames import Span


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.webm", "libvpx-vp9"), ("a.gif", "gif")]
)
def test_every_container_gives_its_pictures(tmp_path: Path, name: str, codec: str, gradient_frames, write_clip) -> None:
    written = gradient_frames(7)
    clip = VideoFile(write_clip(tmp_path / name, written, fps=25, codec=codec))
    frames = list(clip.frames())
    assert [frame.number for frame in frames] == list(range(7))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(7) / 25, atol=2e-3)
    assert (clip.facts.width, clip.facts.height) == (64, 48)
    assert clip.notes == []
    for frame, image in zip(frames, written, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < (24 if codec == "gif" else 12)  # a GIF has 256 colours


def test_times_of_an_uneven_clip_are_its_own(tmp_path: Path, gradient_frames, write_clip) -> None:
    times_ms = [0, 33, 50, 200, 210, 500]
    clip = VideoFile(write_clip(tmp_path / "a.mp4", gradient_frames(6), times_ms=times_ms))
    np.testing.assert_allclose([frame.time_s for frame in clip.frames()], np.array(times_ms) / 1000, atol=2e-3)


def test_span_takes_a_part(tmp_path: Path, gradient_frames, write_clip) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4", gradient_frames(20), fps=10))
    assert [frame.number for frame in clip.frames(Span(0.5, 1.5, 3))] == [6, 9, 12]
    assert [frame.number for frame in clip.frames(Span(0.5, 1.5, 3), after=9)] == [12]
    assert clip.notes == []
    assert list(clip.frames(Span(start_s=9.0))) == []


@pytest.mark.parametrize("span", [(-1.0, None, 1), (2.0, 1.0, 1), (0.0, None, 0)])
def test_impossible_spans_are_refused(span: tuple[float, float | None, int]) -> None:
    with pytest.raises(ConfigError):
        Span(*span)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_pictures_are_turned_upright(tmp_path: Path, rotation: int, gradient_frames, write_clip) -> None:
    stored = gradient_frames(3)
    clip = VideoFile(write_clip(tmp_path / "a.mp4", stored, rotation=rotation))
    plain = list(VideoFile(write_clip(tmp_path / "b.mp4", stored)).frames())
    [first, *_] = clip.frames()
    # The encoder does not always give the same bytes for the same pictures.
    difference = first.image.astype(int) - np.rot90(plain[0].image, rotation // 90)
    assert np.abs(difference).mean() < 2
    assert (clip.facts.width, clip.facts.height) == ((64, 48) if rotation == 180 else (48, 64))


def test_fast_clips_keep_every_picture(tmp_path: Path, gradient_frames, write_clip) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4", gradient_frames(48), fps=240))
    frames = list(clip.frames())
    assert len(frames) == 48
    assert frames[-1].time_s == pytest.approx(47 / 240, abs=1e-4)
    assert clip.facts.fps == pytest.approx(240)


def test_one_picture_is_a_clip(tmp_path: Path, gradient_frames, write_clip) -> None:
    assert len(list(VideoFile(write_clip(tmp_path / "a.mp4", gradient_frames(1))).frames())) == 1


def test_a_truncated_clip_gives_its_remaining_frames(tmp_path: Path, write_clip) -> None:
    whole = write_clip(tmp_path / "a.mp4", _noise(40), options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    clip = VideoFile(cut)
    frames = list(clip.frames())
    assert 10 <= len(frames) < 40
    assert any("of 40 frames" in note for note in clip.notes)


def test_damage_in_the_middle_is_survived(tmp_path: Path, write_clip) -> None:
    whole = write_clip(tmp_path / "a.mp4", _noise(40), options={"movflags": "faststart"})
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    whole.write_bytes(bytes(content))
    assert len(list(VideoFile(whole).frames())) >= 20


def test_pictures_of_another_size_are_fitted(tmp_path: Path, gradient_frames, write_clip) -> None:
    small, large = gradient_frames(4), gradient_frames(4, width=128, height=48)
    parts = [write_clip(tmp_path / f"{n}.ts", frames) for n, frames in enumerate((small, large))]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    clip = VideoFile(both)
    frames = list(clip.frames())
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert any("different sizes" in note for note in clip.notes)


def test_fit_into_keeps_the_shape() -> None:
    fitted = fit_into(np.full((10, 40, 3), 200, dtype=np.uint8), 20, 20)
    assert fitted.shape == (20, 20, 3)
    assert (fitted.any(axis=2).any(axis=1)).sum() == 5


def test_files_without_pictures_are_refused(tmp_path: Path, gradient_frames, write_clip) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no clip at all")
    whole = write_clip(tmp_path / "a.mp4", gradient_frames(5))
    (tmp_path / "header.mp4").write_bytes(whole.read_bytes()[:40])
    for name, words in (
        ("empty", "the file is empty"),
        ("text", "cannot be opened"),
        ("header", "cannot be opened"),
        ("none", "no such"),
    ):
        with pytest.raises(DataError, match=words):
            VideoFile(tmp_path / f"{name}.mp4")


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
def test_playlists_that_name_other_files_are_refused(tmp_path: Path, text: str, gradient_frames, write_clip) -> None:
    write_clip(tmp_path / "other.mp4", gradient_frames(3))
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(DataError, match=r"a\.mp4: cannot be opened as a clip"):
        VideoFile(tmp_path / "a.mp4")


def test_a_clip_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **_: object) -> None:
        raise PermissionError(13, "Permission denied", name)

    (tmp_path / "a.mp4").write_bytes(b"content")
    monkeypatch.setattr("av.open", refuse)
    with pytest.raises(DataError, match=r"a\.mp4: permission denied; change the permissions"):
        VideoFile(tmp_path / "a.mp4")


def test_sound_alone_is_not_a_clip(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 4000), dtype=np.float32), format="fltp", layout="mono")
        tone.sample_rate, tone.pts = 8000, 0
        container.mux(sound.encode(tone))
        container.mux(sound.encode())
    with pytest.raises(DataError, match="no video"):
        VideoFile(tmp_path / "a.mp4")


def test_sound_is_noticed(tmp_path: Path, gradient_frames, write_clip) -> None:
    assert VideoFile(write_clip(tmp_path / "a.mp4", gradient_frames(10), audio=True)).facts.has_audio


def _noise(count: int) -> list[np.ndarray]:
    dice = np.random.default_rng(0)
    return [dice.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(count)]
