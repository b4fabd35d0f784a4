"""JSON in and out: one reader that refuses what cannot be meant, and one way to write numbers JSON lacks."""

import json
import math
from collections.abc import Mapping
from typing import Any

from hifihr_core.errors import DataError

#: A number of more digits than any that is meant; Python itself refuses some, and is slow with others.
MAX_DIGITS = 1000


def parse_json(text: str | bytes, name: object, *, error: type[Exception] = DataError) -> Any:
    """Return the document in `text` (UTF-8, a byte-order mark is skipped); `name` begins the message.

    Raises: `error` in one line for another encoding, a broken document, nesting that is too deep, or a number of more
    than `MAX_DIGITS` digits.
    """
    try:
        plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        return json.loads(plain, parse_int=_int, parse_float=_float)
    except UnicodeDecodeError as reason:
        raise error(f"{name}: byte {reason.start} is not UTF-8, expected JSON") from reason
    except RecursionError as reason:
        raise error(f"{name}: JSON nested too deeply") from reason
    except ValueError as reason:
        raise error(f"{name}: not valid JSON ({reason})") from reason


def finite_json(value: object) -> Any:
    """Return `value` with NaN and infinities as None, which JSON has instead, and every key a text."""
    if isinstance(value, Mapping):
        return {str(key): finite_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _int(digits: str) -> int:
    _check_length(digits)
    return int(digits)


def _float(digits: str) -> float:
    _check_length(digits)
    return float(digits)


def _check_length(digits: str) -> None:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
