"""The journal of a clip: the hands seen in each frame, line by line, from which an interrupted run resumes."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.files import describe_os_error
from hifihr_core.outside.json_text import parse_json
from hifihr_core.outside.whole_files import open_regular

_MOST_BYTES = 8 << 30
#: Decimals kept for pixels, metres and fractions: far finer than the eyes' accuracy.
_DECIMALS = {"metres": 5, "confidence": 4, "score": 4, "side_confidence": 4}
_SHAPES = {
    "joints_px": (21, 2),
    "depth_px": (21,),
    "metres": (21, 3),
    "sigma_px": (21,),
    "confidence": (21,),
    "score": (),
    "side_confidence": (),
}


@dataclass(frozen=True)
class SeenFrame:
    """The hands of one frame, keyed by track identity; `searched` is True if the whole picture was searched."""

    number: int
    time_s: float
    searched: bool
    hands: Mapping[int, SeenHand]


class Journal:
    """A file with a JSON line that describes the clip and the settings (`origin`), then one JSON line per frame.

    A frame has further lines for hands found in it later. A journal with another origin is started anew; a damaged line
    and all lines after it are dropped. Raises: DataError if the file cannot be written.
    """

    def __init__(self, path: Path, origin: Mapping[str, object]) -> None:
        self._path, self._first = path, json.dumps({"origin": origin}, sort_keys=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._drop_the_rest(self._whole_bytes())
        except OSError as error:
            raise DataError(describe_os_error(error, path)) from error
        self._file: IO[str] | None = None

    def frames(self) -> Iterator[SeenFrame]:
        """Yield the frames in the journal, line by line."""
        with open_regular(self._path, most_bytes=_MOST_BYTES) as file:
            next(file)
            for line in file:
                yield frame_from_json(line)

    def append(self, frame: SeenFrame) -> None:
        """Append a frame and flush it: it is kept if the process is killed, though not if the machine crashes."""
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(frame_to_json(frame) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _whole_bytes(self) -> int:
        """Return the number of bytes before the first damaged line; 0 if the journal has another origin."""
        if not self._path.exists():
            return 0
        length = 0
        with open_regular(self._path, most_bytes=_MOST_BYTES) as file:
            for number, line in enumerate(file):
                if not (line.endswith(b"\n") and self._is_whole(number, line)):
                    break
                length += len(line)
        return length

    def _is_whole(self, number: int, line: bytes) -> bool:
        if number == 0:
            return line[:-1] == self._first.encode()
        try:
            frame_from_json(line)
        except DataError:
            return False
        return True

    def _drop_the_rest(self, length: int) -> None:
        if length:
            with self._path.open("rb+") as file:
                file.truncate(length)
        else:
            self._path.write_text(self._first + "\n", encoding="utf-8")


def frame_to_json(frame: SeenFrame) -> str:
    """Format a frame as one line."""
    hands = {
        str(id): {name: _listed(name, value) for name, value in asdict(hand).items()}
        for id, hand in frame.hands.items()
    }
    document = {"frame": frame.number, "time_s": round(frame.time_s, 6), "searched": frame.searched, "hands": hands}
    return json.dumps(document, separators=(",", ":"))


def frame_from_json(line: str | bytes) -> SeenFrame:
    """Parse a line as a frame. Raises: DataError if it is damaged."""
    document = parse_json(line, "a line of the journal")
    try:
        hands = {int(id): _hand(hand) for id, hand in document["hands"].items()}
        time_s = float(document["time_s"])
        if not math.isfinite(time_s):
            raise ValueError(f"time_s is {time_s}, expected a finite number")
        return SeenFrame(int(document["frame"]), time_s, bool(document["searched"]), hands)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"a line of the journal is not a frame ({error})") from error


def as_written(hand: SeenHand) -> SeenHand:
    """Return the sighting rounded as in the journal, so that a resumed run continues from identical values."""
    return _hand({name: _listed(name, value) for name, value in asdict(hand).items()})


def _hand(document: Mapping[str, object]) -> SeenHand:
    values: dict[str, Any] = {field.name: document[field.name] for field in fields(SeenHand)}
    values = {name: np.array(one, float) if isinstance(one, list) else one for name, one in values.items()}
    wrong = [name for name, shape in _SHAPES.items() if np.shape(values[name]) != shape]
    if wrong:
        raise ValueError(f"{wrong[0]} has shape {np.shape(values[wrong[0]])}, expected {_SHAPES[wrong[0]]}")
    return SeenHand(**values)


def _listed(name: str, value: object) -> object:
    if isinstance(value, str):
        return value
    rounded = np.round(np.asarray(value, dtype=np.float64), _DECIMALS.get(name, 2))
    return rounded.tolist()
