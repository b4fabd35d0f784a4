from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.writing.clip_writer import join_parts, new_clip
from hifihr_core.video.writing.video_encoders import CODECS, find_encoder


def _built_with(*names: str) -> SimpleNamespace:
    """Return a PyAV that has only these encoders."""

    def codec(name: str, mode: str) -> str:
        if name not in names:
            raise ValueError(name)
        return name

    return SimpleNamespace(codec=SimpleNamespace(Codec=codec))


def test_h264_comes_first_and_vp9_does_without_gpl_parts() -> None:
    assert find_encoder(_built_with("libx264", "libvpx-vp9")).name == "libx264"
    assert find_encoder(_built_with("libx264", "libopenh264", "libvpx-vp9")).name == "libopenh264"
    assert find_encoder(_built_with("libvpx-vp9")).name == "libvpx-vp9"
    assert find_encoder(_built_with("libx264", "libvpx-vp9"), "vp9").name == "libvpx-vp9"


def test_missing_encoders_and_unknown_codecs_are_named() -> None:
    with pytest.raises(AssetError, match="no encoder libopenh264 or libx264"):
        find_encoder(_built_with("libvpx-vp9"), "h264")
    with pytest.raises(ConfigError, match="unknown codec 'h265', expected one of auto, h264, vp9"):
        find_encoder(_built_with(), "h265")


@pytest.mark.parametrize("codec", [name for name in CODECS if name != "auto"])
def test_parts_of_every_codec_can_be_joined(tmp_path: Path, gradient_frames, codec: str) -> None:
    frames, parts = gradient_frames(12), []
    for start in (0, 8):
        part = tmp_path / f"{start}.mp4"
        with new_clip(part, width=64, height=48, fps=30.0, codec=codec) as writer:
            for number, image in enumerate(frames[start : start + 8]):
                writer.write(image, number / 30)
        parts.append((part, start / 30))
    assert join_parts(tmp_path / "a.mp4", parts)
    joined = list(VideoFile(tmp_path / "a.mp4").frames())
    assert [round(frame.time_s * 30) for frame in joined] == list(range(12))
    assert all(abs(f.image.astype(int) - g).mean() < 8 for f, g in zip(joined, frames, strict=True))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec.name == codec
