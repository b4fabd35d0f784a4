"""Turn a bad annotation into a `Problem`, whatever is wrong with it, so that it never stops a whole dataset."""

from collections.abc import Callable, Iterable, Sequence

import cv2

from hifihr_core.errors import DataError
from hifihr_core.samples import Sample
from hifihr_core.shards.schema import Problem

#: Errors that bad numbers can cause. `UnsafePickleError` is not among them: a malicious file ends the run.
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
    """Return the result of `make`, or a `Problem` with this key if it fails."""
    return attempt_all(key, lambda: [make()])[0]


def attempt_all(key: str, make: Callable[[], Iterable[Sample]]) -> Sequence[Sample | Problem]:
    """Return all results of `make`, or a single `Problem` with this key if it fails."""
    try:
        return list(make())
    except DataError as error:
        return [Problem(key=key, reason=str(error))]
    except _FAULTS as error:
        reason = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split())[:200])))
        return [Problem(key=key, reason=f"the sample cannot be used ({reason})")]
