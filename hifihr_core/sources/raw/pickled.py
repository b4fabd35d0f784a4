"""Annotations that a dataset keeps in pickles: numbers come out, nothing is ever run."""

import io
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.pickles import NUMPY, read_pickle
from hifihr_core.sources.raw.raw_tree import RawFile


class _NamedBytes(io.BytesIO):
    """Bytes in memory with the name of the file they come from, for messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def read_annotation(file: RawFile) -> Any:
    """Return what a pickle of Python 2 or 3 holds: plain containers, numbers, texts and arrays.

    Raises: DataError if it is damaged; UnsafePickleError if it asks for anything else than NumPy's arrays.
    """
    return read_pickle(_NamedBytes(file.read(), file.name), allowed=NUMPY, encoding="latin1", error=DataError)


def floats(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return a value as float64 of this shape (any, where it has the same number of entries), or None if it is none.

    None, texts, lists of unequal length and numbers that are not finite are none.
    """
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if array.size != int(np.prod(shape)) or not np.isfinite(array).all():
        return None
    return array.reshape(shape)


def need(record: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return one array of an annotation. Raises: DataError "handPose is None, expected (48,)" and the like."""
    if not isinstance(record, dict):
        raise DataError(f"holds {type(record).__name__}, expected a dict of annotations")
    found = floats(record.get(name), shape)
    if found is None:
        value = record.get(name)
        state = "None" if value is None else f"of shape {np.shape(value)} or not finite"
        raise DataError(f"{name} is {state}, expected {shape}")
    return found
