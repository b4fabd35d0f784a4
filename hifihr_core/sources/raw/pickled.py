"""Read annotations from a dataset's pickles: only numbers are extracted, and no code ever runs."""

import io
import math
import numbers
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.outside.pickles import NUMPY, read_pickle
from hifihr_core.sources.raw.raw_tree import RawFile

#: Maximum depth of nested lists in an annotation.
_DEEPEST = 6


class _NamedBytes(io.BytesIO):
    """Bytes in memory with the name of the file they come from, for messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def read_annotation(file: RawFile) -> Any:
    """Return the content of a Python 2 or 3 pickle: plain containers, numbers, strings and arrays.

    Raises: DataError if it is damaged; UnsafePickleError if it contains anything else.
    """
    return read_pickle(_NamedBytes(file.read(), file.name), allowed=NUMPY, encoding="latin1", error=DataError)


def floats(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return a value as a float64 array, reshaped to `shape`, or None if that is impossible.

    None, strings, ragged lists, non-finite numbers and a different number of entries give None.
    """
    size = math.prod(shape)
    if shape_of(value, most=size) is None:
        return None
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if array.size != size or not np.isfinite(array).all():
        return None
    return array.reshape(shape)


def shape_of(value: Any, *, most: int) -> tuple[int, ...] | None:
    """Return the shape of an array, a number or a nested list; None for anything else or more than `most` entries.

    The limit is needed because a pickle can repeat one list inside another: a few bytes describe millions of entries.
    """
    if isinstance(value, np.ndarray):
        return value.shape if value.size <= most else None
    if not isinstance(value, list | tuple):
        return () if isinstance(value, numbers.Real | np.generic) else None
    shape: list[int] = []
    layer: list[Any] = [value]
    while layer and all(isinstance(each, list | tuple) for each in layer):
        lengths = {len(each) for each in layer}
        if len(lengths) != 1 or len(shape) == _DEEPEST or len(layer) * max(lengths) > max(most, 1):
            return None
        shape.append(lengths.pop())
        layer = [entry for each in layer for entry in each]
    return tuple(shape) if all(isinstance(each, numbers.Real | np.generic | np.ndarray) for each in layer) else None


def need(record: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array `name` of an annotation, reshaped to `shape`. Raises: DataError if there is no such array."""
    if not isinstance(record, dict):
        raise DataError(f"contains {type(record).__name__}, expected a dict of annotations")
    value = record.get(name)
    found = floats(value, shape)
    if found is None:
        raise DataError(f"{name} is {_describe(value, shape)}, expected finite numbers of shape {shape}")
    return found


def _describe(value: Any, shape: tuple[int, ...]) -> str:
    """Return what is wrong with an entry that cannot be read as finite numbers of `shape`."""
    if value is None:
        return "None"
    found = shape_of(value, most=1 << 16)
    if found is None:
        return "not an array"
    if not found:
        return "a single value"
    return "not finite" if math.prod(found) == math.prod(shape) else f"of shape {found}"
