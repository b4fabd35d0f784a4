"""Record a camera to a clip, which is then predicted like any other."""

from pathlib import Path

from hifihr_core.files import write_atomically
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.reading.frames import FrameSource, Span
from hifihr_core.video.writing.clip_writer import ClipWriter


def record(camera: FrameSource, folder: Path, *, end_s: float | None = None) -> VideoFile:
    """Record a camera to a clip in `folder`; return the clip.

    The recording ends after `end_s` seconds, when the camera stops, or when Ctrl-C is pressed. Raises: DataError if the
    clip cannot be written or the camera gave no picture.
    """
    facts, path = camera.facts, folder / f"{camera.facts.name}.mp4"
    with (
        write_atomically(path) as part,
        ClipWriter(part, width=facts.width, height=facts.height, fps=facts.fps) as writer,
    ):
        try:
            for frame in camera.frames(Span(end_s=end_s)):
                writer.write(frame.image, frame.time_s)
        except KeyboardInterrupt:
            pass  # the way to stop an open-ended recording
    return VideoFile(path)
