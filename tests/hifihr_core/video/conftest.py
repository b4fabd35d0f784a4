"""Tiny clips for tests, written with PyAV: the fixtures are functions."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def _gradient_frames(count: int, *, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Return pictures with a bright square that moves to the right on a dark ground."""
    frames = []
    for number in range(count):
        image = np.full((height, width, 3), 30, dtype=np.uint8)
        left = 4 + (number * 2) % (width - 20)
        image[8:20, left : left + 12] = (220, 60, 60)
        frames.append(image)
    return frames


def _write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    fps: int = 30,
    times_ms: Sequence[int] | None = None,
    rotation: int = 0,
    audio: bool = False,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip; `times_ms` are the times of its pictures where they are not even."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000) if times_ms is not None else Fraction(1, fps)
        sound = container.add_stream("aac", rate=8000) if audio else None
        for number, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts = times_ms[number] if times_ms is not None else number
            picture.time_base = stream.codec_context.time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound is not None:
            _write_tone(container, sound, len(frames) / fps)
    if rotation:
        _write_rotation(path, rotation)
    return path


def _write_rotation(path: Path, degrees: int) -> None:
    """Set the matrix of an mp4's track: the pictures are shown turned counter-clockwise by so many degrees."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # the matrix follows version, times, id, duration, layer and volume
    cos, sin = (round(np.cos(np.deg2rad(degrees))), round(np.sin(np.deg2rad(degrees))))
    matrix = (cos, -sin, 0, sin, cos, 0, 0, 0)
    content[place : place + 32] = b"".join((value * 65536).to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(bytes(content))


def _write_tone(container, sound, seconds: float) -> None:
    samples = np.sin(np.arange(int(8000 * seconds)) * 0.3)[None].astype(np.float32)
    tone = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    tone.sample_rate, tone.pts = 8000, 0
    container.mux(sound.encode(tone))
    container.mux(sound.encode())


@pytest.fixture
def gradient_frames() -> Callable[..., list[np.ndarray]]:
    """Return the function that makes pictures with a square that moves to the right."""
    return _gradient_frames


@pytest.fixture
def write_clip() -> Callable[..., Path]:
    """Return the function that writes pictures as a clip."""
    return _write_clip
