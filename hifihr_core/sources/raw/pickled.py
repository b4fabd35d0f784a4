"""Annotations that a dataset keeps in pickles: numbers come out, nothing is ever run."""

import io
import math
import numbers
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.outside.pickles import NUMPY, read_pickle
from hifihr_core.sources.raw.raw_tree import RawFile

#: Lists in lists of an annotation go no deeper.
_DEEPEST = 6


class _NamedBytes(io.BytesIO):
    """Bytes in memory with the name of the file they come from, for messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def read_annotation(file: RawFile) -> Any:
    """Return what a pickle of Python 2 or 3 holds: plain containers, numbers, texts and arrays.

    Raises: DataError if it is damaged; UnsafePickleError if it asks for anything but NumPy's arrays.
    """
    return read_pickle(_NamedBytes(file.read(), file.name), allowed=NUMPY, encoding="latin1", error=DataError)


def floats(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return a value as float64 of this shape (of any shape with the same number of entries), or None if it is not one.
    None, texts, lists of unequal length and non-finite numbers are not.
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
    """Return the shape of an array, a number or a nested list, None for something else or more than `most` entries.

    A pickle can nest one list in another many times, so that a few bytes describe any number of entries.
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
    """Return one array of an annotation. Raises: DataError "handPose is None, expected (48,)" and the like."""
    if not isinstance(record, dict):
        raise DataError(f"holds {type(record).__name__}, expected a dict of annotations")
    value = record.get(name)
    found = floats(value, shape)
    if found is None:
        size = shape_of(value, most=1 << 16)
        state = "None" if value is None else f"of shape {size} or not finite" if size is not None else "no array"
        raise DataError(f"{name} is {state}, expected {shape}")
    return found
