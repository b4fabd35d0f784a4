"""A camera on this machine, read with OpenCV."""

import time
from collections.abc import Iterator

import cv2

from hifihr_core.errors import DeviceError
from hifihr_core.video.reading.frames import WHOLE, ClipFacts, Frame, FrameSource, Span


class Webcam(FrameSource):
    """Camera `number` on this machine; frames end when the camera stops.

    Raises: DeviceError if the camera is not found or is in use.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._capture = _open_quietly(number)
        found, picture = self._capture.read() if self._capture.isOpened() else (False, None)
        if not found or picture is None:
            self._capture.release()
            raise DeviceError(
                f"camera {number}: not found or in use; connect it, close other programs that use it, or give another "
                "number"
            )
        height, width = picture.shape[:2]
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.facts = ClipFacts(f"webcam{number}", width, height, fps if 1 <= fps <= 1000 else 30.0)

    def frames(self, span: Span = WHOLE, *, after: int = -1) -> Iterator[Frame]:
        """Yield frames as they arrive, with their time since the first; the camera is released at the end."""
        start, number = None, after + 1
        try:
            while True:
                found, picture = self._capture.read()
                now = time.monotonic()
                start = now if start is None else start
                if not found or span.is_over(now - start):
                    return
                if span.holds(number, now - start):
                    yield Frame(number, now - start, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                number += 1
        finally:
            self._capture.release()


def _open_quietly(number: int) -> cv2.VideoCapture:
    """Open a camera without OpenCV's warnings on stderr; our own error reports a failure in one line."""
    logging = cv2.utils.logging
    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(number)
    finally:
        logging.setLogLevel(before)
