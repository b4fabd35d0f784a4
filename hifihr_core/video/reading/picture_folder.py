"""Read a folder of numbered pictures as a clip."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.photos.finding import find_photos
from hifihr_core.photos.reading import read_photo
from hifihr_core.video.reading.containers import fit_into, sizes_differ
from hifihr_core.video.reading.frames import WHOLE, ClipFacts, Frame, FrameSource, Span


class PictureSequence(FrameSource):
    """Pictures sorted by name, at a fixed frame rate.

    An unreadable picture is skipped (its number stays unused) with a line in `notes`. Raises: DataError if no picture
    can be read.
    """

    def __init__(self, patterns: Sequence[str | Path], *, fps: float) -> None:
        super().__init__()
        self._paths = find_photos(patterns).photos
        self.path = Path(patterns[0])
        first = next((image for image in map(self._read, self._paths) if image is not None), None)
        if first is None:
            raise DataError(
                f"{self.path}: no picture could be read, expected JPEG, PNG or the like; convert the pictures, or copy "
                "them again if they are damaged"
            )
        height, width = first.shape[:2]
        self.facts = ClipFacts(self.path.stem, width, height, fps, len(self._paths))
        self.notes.clear()

    def frames(self, span: Span = WHOLE, *, after: int = -1) -> Iterator[Frame]:
        """Yield the frames of `span` with a number above `after`, in order."""
        for number, path in enumerate(self._paths):
            time_s = number / self.facts.fps
            if span.is_over(time_s):
                return
            if number <= after or not span.holds(number, time_s):
                continue
            image = self._read(path)
            if image is None:
                continue
            if image.shape[:2] != (self.facts.height, self.facts.width):
                self.note(sizes_differ(self.facts))
                image = fit_into(image, self.facts.width, self.facts.height)
            yield Frame(number, time_s, image)

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            return read_photo(path).image
        except DataError as error:
            self.note(f"skipped a picture: {error}")
            return None
