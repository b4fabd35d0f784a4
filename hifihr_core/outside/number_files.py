"""Read numbers from a user's files: `.npy`, JSON and text, checked before memory is allocated."""

import io
import math
import tokenize
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.lib import format as npy

from hifihr_core.errors import DataError, HifihrError
from hifihr_core.outside.json_text import parse_checked
from hifihr_core.outside.whole_files import read_whole

#: Maximum size of a file; a camera matrix has nine numbers.
_MOST_BYTES = 16 << 20
#: Maximum size of a `.npy` header; real ones are far shorter.
_MOST_HEADER_BYTES = 1 << 17
_HEADERS: Mapping[tuple[int, int], Callable] = MappingProxyType(
    {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
)


def read_numbers(path: Path, *, remedy: str = "write it again", error: type[HifihrError] = DataError) -> np.ndarray:
    """Return the numbers in a file as a float64 array.

    `.npy` files contain plain numbers and `.json` files nested lists; all other files are text, with a row of numbers,
    separated by spaces or commas, on each line (a single row gives a vector). The suffix may be upper case.
    Raises: `error` if the file cannot be read, contains anything else, or has rows of different lengths.
    """
    content = read_whole(path, most_bytes=_MOST_BYTES, error=error)
    try:
        return _READERS.get(path.suffix.lower(), _read_text)(content)
    except (ValueError, TypeError, OverflowError, MemoryError, SyntaxError, tokenize.TokenError, HifihrError) as found:
        reason = " ".join(str(found).split()).removeprefix(f"{path}: ")[:200]
        raise error(f"{path}: not an array of numbers ({reason or type(found).__name__}); {remedy}") from found


#: Size of the longest numbers that are read, bytes.
_LONGEST_NUMBER = 8


def parse_npy(content: bytes | bytearray, *, kinds: str = "biuf") -> np.ndarray:
    """Return the array in the content of a `.npy` file, in the machine's byte order; it is not copied if it has that.

    `kinds` are the allowed values of `numpy.dtype.kind`. Raises: ValueError if the content is damaged or of another
    kind; other exceptions of NumPy's header reader if the header is damaged.
    """
    stream = io.BytesIO(content[:_MOST_HEADER_BYTES])
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"format version {version[0]}.{version[1]}, expected 1.0 or 2.0")
    shape, fortran, dtype = _HEADERS[version](stream)
    is_long = dtype.kind in "biuf" and dtype.itemsize > _LONGEST_NUMBER  # long doubles are different on every machine
    if dtype.kind not in kinds or is_long:
        expected = f"numbers of at most {_LONGEST_NUMBER} bytes" + " or strings" * ("U" in kinds)
        raise ValueError(f"its entries have type {dtype}, expected {expected}")
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if min(shape, default=0) < 0 or expected != found:
        raise ValueError(f"{found:,} bytes of numbers, expected {expected:,} for shape {shape}")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    native = flat.astype(dtype.newbyteorder("="), copy=False)
    return native.reshape(shape, order="F" if fortran else "C")


def _read_npy(content: bytes) -> np.ndarray:
    return parse_npy(content).astype(np.float64)


def _read_json(content: bytes) -> np.ndarray:
    return np.asarray(parse_checked(content), dtype=np.float64)


def _read_text(content: bytes) -> np.ndarray:
    lines = (line.split("#")[0].replace(",", " ").split() for line in content.decode("utf-8-sig").splitlines())
    rows = [[float(word) for word in words] for words in lines if words]
    if not rows:
        raise ValueError("it contains no numbers")
    return np.asarray(rows if len(rows) > 1 else rows[0], dtype=np.float64)


_READERS: Mapping[str, Callable[[bytes], np.ndarray]] = MappingProxyType({".npy": _read_npy, ".json": _read_json})
