"""Video files, decoded with PyAV: mp4, mov, webm, mkv, avi, gif."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hifihr_core.errors import AssetError, DataError
from hifihr_core.files import describe_os_error
from hifihr_core.video.reading.frames import WHOLE, ClipFacts, Frame, FrameSource, Span

INSTALL_LINE = "pip install 'hifihr[video]'"

#: FFmpeg's readers for single files only: playlists would read, or fetch, whatever they name.
ONE_FILE = {
    "format_whitelist": "mov,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg,mjpeg,h264,hevc,ivf,dv,apng,webp_pipe",
    "protocol_whitelist": "file",
}
#: The frame rate assumed if a clip does not state one.
_DEFAULT_FPS = 25.0
#: A clip counts as truncated if it ends this many pictures early.
_MISSING = 3


def import_av() -> Any:
    """Return the module `av`. Raises: AssetError if it is not installed."""
    try:
        import av
    except ImportError as error:
        raise AssetError(f"clips need the package av; run {INSTALL_LINE}") from error
    return av


class VideoFile(FrameSource):
    """A video file.

    Pictures are rotated as the file specifies, and fitted into the size of the first. Damaged parts are skipped and
    truncated files end early, with a line in `notes`. Raises: DataError for a file that is missing, empty or damaged,
    or has no video; AssetError if PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._av = import_av()
        with self._open() as container:
            stream = _video_stream(container, path)
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise DataError(
                    f"{path}: no frame could be decoded; the file is truncated or damaged, so copy or export it again"
                )
            height, width = _upright(first).shape[:2]
            self.facts = ClipFacts(
                name=path.name,
                width=width,
                height=height,
                fps=float(stream.average_rate or stream.guessed_rate or _DEFAULT_FPS),
                num_frames=stream.frames or None,
                has_audio=bool(container.streams.audio),
            )
        self.notes.clear()

    def frames(self, span: Span = WHOLE, *, after: int = -1) -> Iterator[Frame]:
        """Yield the frames of `span` with a number above `after`, in order."""
        with self._open() as container:
            stream = _video_stream(container, self.path)
            first_s, number, ended = None, -1, True
            for number, picture in enumerate(self._decoded(container, stream)):
                stamp_s = number / self.facts.fps if picture.time is None else float(picture.time)
                first_s = stamp_s if first_s is None else first_s
                time_s = stamp_s - first_s
                if span.is_over(time_s):
                    ended = False
                    break
                if number > after and span.holds(number, time_s):
                    yield Frame(number, time_s, self._fitted(_upright(picture)))
            if ended and self.facts.num_frames and number + 1 + _MISSING <= self.facts.num_frames:
                self.note(f"read {number + 1} of {self.facts.num_frames} frames; the file is truncated or damaged")

    def _open(self) -> Any:
        assert self.path is not None  # passed to the constructor
        try:
            if self.path.stat().st_size == 0:
                raise DataError(f"{self.path}: the file is empty, expected a clip; copy or export it again")
            return self._av.open(str(self.path), metadata_errors="replace", options=dict(ONE_FILE))
        except FileNotFoundError as error:
            raise DataError(f"{self.path}: no such file; check the path") from error
        except PermissionError as error:
            raise DataError(describe_os_error(error, self.path)) from error
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise DataError(
                f"{self.path}: cannot be opened as a clip ({_reason(error)}), expected mp4, mov, webm, mkv, gif or the "
                "like; convert it, or copy it again if it is damaged"
            ) from error

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield decoded pictures; parts that cannot be decoded are counted and skipped."""
        stream.thread_type = "AUTO"
        damaged, packets = 0, container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                yield from packet.decode()
            except self._av.error.EOFError:
                break
            except self._av.error.FFmpegError:
                damaged += 1
                if damaged > 1000:
                    break
        if damaged:
            self.note(f"{damaged} damaged {'part was' if damaged == 1 else 'parts were'} skipped")

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        if (width, height) == (self.facts.width, self.facts.height):
            return image
        self.note(sizes_differ(self.facts))
        return fit_into(image, self.facts.width, self.facts.height)


def sizes_differ(facts: ClipFacts) -> str:
    """Return the note that pictures of different sizes are fitted into the size of the clip."""
    return f"the pictures have different sizes; all are fitted into {facts.width} x {facts.height} pixels"


def fit_into(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the RGB picture scaled to fit into `width` x `height` pixels, centred on black."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas


def _video_stream(container: Any, path: Path | None) -> Any:
    if not container.streams.video:
        raise DataError(f"{path}: contains no video, expected a clip; check the path")
    return container.streams.video[0]


def _upright(picture: Any) -> np.ndarray:
    image = picture.to_ndarray(format="rgb24")
    # PyAV gives degrees counter-clockwise from the stored to the displayed picture; a broken matrix gives an absurd
    # number.
    quarters = round(picture.rotation / 90) % 4 if abs(picture.rotation) <= 360 else 0
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
