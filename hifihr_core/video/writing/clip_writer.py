"""Write clips as mp4 files in which each frame keeps its own time; join parts of a clip, and add its original sound."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hifihr_core.files import write_atomically
from hifihr_core.video.reading.containers import ONE_FILE, import_av
from hifihr_core.video.writing.video_encoders import find_encoder

#: Ticks per second in the timestamps.
TICKS = 90_000


class ClipWriter:
    """Encodes pictures of one size as an mp4; the end of the `with` statement completes the file.

    An odd last row or column of pixels is dropped.
    """

    def __init__(self, path: Path, *, width: int, height: int, fps: float, codec: str = "auto") -> None:
        self._av = import_av()
        encoder = find_encoder(self._av, codec)
        self._width, self._height = max(2, width // 2 * 2), max(2, height // 2 * 2)
        self._container = self._av.open(str(path), "w", format="mp4")
        rate = Fraction(fps).limit_denominator(1001)
        self._stream: Any = self._container.add_stream(encoder.name, rate=rate or 25, options=dict(encoder.options))
        self._stream.width, self._stream.height, self._stream.pix_fmt = self._width, self._height, "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS)

    def write(self, image: UInt8[np.ndarray, "H W 3"], time_s: float) -> None:
        """Append a picture, displayed from `time_s` on."""
        picture = self._av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image[: self._height, : self._width]), format="rgb24"
        )
        picture.pts, picture.time_base = round(time_s * TICKS), Fraction(1, TICKS)
        self._container.mux(self._stream.encode(picture))

    def __enter__(self) -> "ClipWriter":
        """Return the writer."""
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the file."""
        self._container.mux(self._stream.encode())
        self._container.close()


@contextmanager
def new_clip(path: Path, *, width: int, height: int, fps: float, codec: str = "auto") -> Iterator[ClipWriter]:
    """Yield a writer for the file `path`, which is created only if the block succeeds.

    `codec` is a key of `CODECS`. Raises: DataError if the file cannot be written; ConfigError for an unknown codec;
    AssetError if none of its encoders is available.
    """
    with (
        write_atomically(path) as part,
        ClipWriter(part, width=width, height=height, fps=fps, codec=codec) as writer,
    ):
        yield writer


def join_parts(
    path: Path,
    parts: Sequence[tuple[Path, float]],
    *,
    sound: Path | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> bool:
    """Join parts with the same encoding, each starting at its time (seconds), without re-encoding.

    The sound of the file `sound` between `start_s` and `end_s` is added unchanged. Returns False if that was
    impossible, since an mp4 cannot hold every sound format. Raises: DataError if the file cannot be written.
    """
    av = import_av()
    if sound is not None:
        try:
            _join(av, path, parts, sound, start_s, end_s)
            return True
        except (av.error.FFmpegError, ValueError):
            pass
    _join(av, path, parts, None, start_s, end_s)
    return sound is None


def _join(
    av: Any, path: Path, parts: Sequence[tuple[Path, float]], sound: Path | None, start_s: float, end_s: float | None
) -> None:
    with write_atomically(path) as target, av.open(str(target), "w", format="mp4") as output:
        with av.open(str(parts[0][0])) as first:
            video = output.add_stream_from_template(first.streams.video[0])
        source = av.open(str(sound), options=dict(ONE_FILE)) if sound is not None else None
        try:
            audio = None
            if source is not None and source.streams.audio:
                audio = output.add_stream_from_template(source.streams.audio[0])
            waiting = _sound_packets(source, start_s, end_s) if audio is not None else iter(())
            ahead = next(waiting, None)
            for packet in _video_packets(av, parts):
                while ahead is not None and float(ahead.pts * ahead.time_base) <= float(packet.pts * packet.time_base):
                    ahead.stream = audio
                    output.mux(ahead)
                    ahead = next(waiting, None)
                packet.stream = video
                output.mux(packet)
            while ahead is not None:
                ahead.stream = audio
                output.mux(ahead)
                ahead = next(waiting, None)
        finally:
            if source is not None:
                source.close()


def _video_packets(av: Any, parts: Sequence[tuple[Path, float]]) -> Iterator[Any]:
    for path, time_s in parts:
        with av.open(str(path)) as container:
            offset = None
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is None:
                    continue
                offset = packet.pts if offset is None else offset
                shift = round(time_s / packet.time_base) - offset
                packet.pts, packet.dts = packet.pts + shift, packet.pts + shift
                yield packet


def _sound_packets(source: Any, start_s: float, end_s: float | None) -> Iterator[Any]:
    for packet in source.demux(source.streams.audio[0]):
        if packet.pts is None:
            continue
        time_s = float(packet.pts * packet.time_base)
        if time_s < start_s or (end_s is not None and time_s >= end_s):
            continue
        shift = round(start_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.pts - shift
        yield packet
