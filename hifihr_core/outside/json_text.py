"""Read JSON with limits on size, depth and length of numbers, and replace values that JSON cannot express."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hifihr_core.errors import DataError, HifihrError
from hifihr_core.outside.whole_files import MOST_BYTES, read_whole

#: Maximum nesting of brackets; all files that hifihr reads stay far below.
MOST_DEPTH = 64
#: Maximum length of an integer: Python rejects integers of more than a few thousand digits, and is slow with shorter
#: ones.
MOST_DIGITS = 1000
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(
    text: bytes | str, name: str | Path, *, remedy: str = "write it again", error: type[Exception] = DataError
) -> Any:
    """Parse a JSON text. `name` and `remedy` are for the message.

    NaN and Infinity are accepted, as in Python's `json`. Raises: `error` if the text is not JSON or not Unicode, is
    nested more than `MOST_DEPTH` levels deep, or contains an integer of more than `MOST_DIGITS` digits.
    """
    try:
        return parse_checked(text)
    except ValueError as problem:
        raise error(f"{name}: not valid JSON ({problem}); {remedy}") from problem


def parse_checked(text: bytes | str) -> Any:
    """Parse a JSON text with the limits of `parse_json`. Raises: ValueError, which has no name and no remedy."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    if _depth(text) > MOST_DEPTH:
        raise ValueError(f"nested too deeply: more than {MOST_DEPTH} levels")
    return parse_flat(text)


def parse_flat(text: bytes | str) -> Any:
    """Parse a JSON text whose nesting was checked before. Raises: ValueError if it is not JSON."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_int=_parse_int)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem
    except UnicodeEncodeError as problem:
        raise ValueError("a string contains half a character (a lone surrogate)") from problem
    return value


def read_json(
    path: Path,
    *,
    remedy: str = "write it again",
    most_bytes: int = MOST_BYTES,
    error: type[HifihrError] = DataError,
) -> Any:
    """Read a JSON file. Raises: `error` if it cannot be read, is longer than `most_bytes`, or is not valid JSON."""
    return parse_json(read_whole(path, most_bytes=most_bytes, error=error), path, remedy=remedy, error=error)


def finite_json(value: object) -> Any:
    """Return `value` converted for JSON: NaN and infinities become None, keys strings, and tuples lists."""
    if isinstance(value, Mapping):
        return {str(key): finite_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _parse_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _depth(text: str) -> int:
    """Return the maximum nesting of brackets outside strings; 0 if there are too few brackets to be too deep."""
    if text.count("[") + text.count("{") <= MOST_DEPTH:
        return 0
    codes = np.frombuffer(_STRING.sub('""', text).encode("utf-8", "replace"), np.uint8)
    folded = codes | 0x20  # '[' is 0x5B and '{' 0x7B: one bit apart, and likewise their ends
    brackets = folded[(folded == ord("{")) | (folded == ord("}"))]
    steps = np.where(brackets == ord("{"), 1, -1)
    return int(np.cumsum(steps).max(initial=0))
