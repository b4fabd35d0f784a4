"""JSON in and out: one reader with bounds on size, depth and numbers, and one way to write numbers JSON lacks."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hifihr_core.errors import DataError, HifihrError
from hifihr_core.outside.whole_files import MOST_BYTES, read_whole

#: Brackets that may be open at once; every file that hifihr reads stays far below.
MOST_DEPTH = 64
#: Python refuses whole numbers that are longer than a few thousand digits, and is slow with others.
MOST_DIGITS = 1000
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(
    text: bytes | str, name: str | Path, *, remedy: str = "write it again", error: type[Exception] = DataError
) -> Any:
    """Return what a JSON text holds. `name` and `remedy` are for the message.

    NaN and Infinity are read as Python reads them. Raises: `error` if the text is not JSON, not Unicode, nested more
    than `MOST_DEPTH` deep, or holds a number of thousands of digits.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text))
        if _depth(text) > MOST_DEPTH:
            raise ValueError(f"nested too deeply, more than {MOST_DEPTH} brackets are open at once")
        return parse_flat(text)
    except ValueError as problem:
        raise error(f"{name}: not valid JSON ({problem}); {remedy}") from problem


def parse_flat(text: bytes | str) -> Any:
    """Return what a JSON text holds, its depth being known to be small. Raises: ValueError if it is not JSON."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_int=_parse_int)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem
    except UnicodeEncodeError as problem:
        raise ValueError("a text contains half a character (a lone surrogate)") from problem
    return value


def read_json(
    path: Path,
    *,
    remedy: str = "write it again",
    most_bytes: int = MOST_BYTES,
    error: type[HifihrError] = DataError,
) -> Any:
    """Return what a JSON file holds. Raises: `error` if it cannot be read, is too long, or as `parse_json`."""
    return parse_json(read_whole(path, most_bytes=most_bytes, error=error), path, remedy=remedy, error=error)


def finite_json(value: object) -> Any:
    """Return `value` with NaN and infinities as None, which JSON has instead, and every key a text."""
    if isinstance(value, Mapping):
        return {str(key): finite_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _parse_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _depth(text: str) -> int:
    """Return how many brackets are open at most; those inside strings do not count."""
    if text.count("[") + text.count("{") <= MOST_DEPTH:
        return 0
    codes = np.frombuffer(_STRING.sub('""', text).encode("utf-8", "replace"), np.uint8)
    folded = codes | 0x20  # '[' is 0x5B and '{' 0x7B: one bit apart, and likewise their ends
    brackets = folded[(folded == ord("{")) | (folded == ord("}"))]
    steps = np.where(brackets == ord("{"), 1, -1)
    return int(np.cumsum(steps).max(initial=0))
