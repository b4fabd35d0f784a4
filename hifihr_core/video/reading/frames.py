"""Frames of a clip with their numbers and times, and the metadata of the clip."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hifihr_core.errors import ConfigError


@dataclass(frozen=True)
class Frame:
    """One upright RGB frame of a clip.

    `number` counts all frames of the clip from 0, including those outside the `Span`; `time_s` is seconds after the
    first frame.
    """

    number: int
    time_s: float
    image: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class ClipFacts:
    """Metadata of a clip.

    Width and height are those of the upright frames, pixels. `fps` is the mean rate. `num_frames` is the number of
    frames that the file states, None if unknown; the file may contain fewer.
    """

    name: str
    width: int
    height: int
    fps: float
    num_frames: int | None = None
    has_audio: bool = False


@dataclass(frozen=True)
class Span:
    """The requested part of a clip: frames from `start_s` up to, not including, `end_s`, seconds.

    Only frames whose number is a multiple of `every` are included. Raises: ConfigError unless `every` is at least 1 and
    ``0 <= start_s < end_s``.
    """

    start_s: float = 0.0
    end_s: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"--every {self.every}: expected 1 or more")
        if self.start_s < 0 or (self.end_s is not None and self.end_s <= self.start_s):
            end = "the end" if self.end_s is None else f"{self.end_s:g} s"
            raise ConfigError(f"--from {self.start_s:g} s, --to {end}: expected 0 <= from < to")

    def holds(self, number: int, time_s: float) -> bool:
        """Return whether a frame is in the span, provided that it is not past the end (`is_over`)."""
        return time_s >= self.start_s and number % self.every == 0

    def is_over(self, time_s: float) -> bool:
        """Return whether a frame at this time is past the end, as are all later ones."""
        return self.end_s is not None and time_s >= self.end_s


#: The span of an entire clip.
WHOLE = Span()


class FrameSource(ABC):
    """A source of frames: a video file, a folder of pictures, or a camera.

    `notes` collects problems with the clip while frames are read, one sentence each.
    """

    facts: ClipFacts
    path: Path | None = None

    def __init__(self) -> None:
        self.notes: list[str] = []

    @abstractmethod
    def frames(self, span: Span = WHOLE, *, after: int = -1) -> Iterator[Frame]:
        """Yield the frames of `span` with a number above `after`, in order."""

    def note(self, sentence: str) -> None:
        """Add a sentence to the notes, unless it is there already."""
        if sentence not in self.notes:
            self.notes.append(sentence)
