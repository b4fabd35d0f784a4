"""One bad annotation is one problem, whatever is wrong with it, and never the end of a whole dataset."""

from collections.abc import Callable, Iterable, Sequence

import cv2

from hifihr_core.errors import DataError
from hifihr_core.samples import Sample
from hifihr_core.shards.schema import Problem

#: What numbers from outside make of honest arithmetic. `UnsafePickleError` is none: a file that attacks ends the run.
_FAULTS = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    MemoryError,
    RecursionError,
    cv2.error,
)


def attempt(key: str, make: Callable[[], Sample]) -> Sample | Problem:
    """Return what `make` makes, or the problem called `key` that prevented it."""
    return attempt_all(key, lambda: [make()])[0]


def attempt_all(key: str, make: Callable[[], Iterable[Sample]]) -> Sequence[Sample | Problem]:
    """Return everything that `make` makes, or the one problem called `key` that prevented it."""
    try:
        return list(make())
    except DataError as error:
        return [Problem(key=key, reason=str(error))]
    except _FAULTS as error:
        reason = " ".join(str(error).split())[:200]
        return [Problem(key=key, reason=f"the annotation cannot be used ({type(error).__name__}: {reason})")]
