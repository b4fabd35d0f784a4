"""Read files written by `torch.save`: tensors and plain containers; no code in them is run."""

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from hifihr_core.errors import AssetError, HifihrError, UnsafePickleError
from hifihr_core.outside.whole_files import open_regular

#: Maximum size, larger than any checkpoint that is read.
MOST_BYTES = 8 << 30
_MORE_THAN_DATA = re.compile(
    "unsupported (global|class|type)|disallowed|allowed global|unrecognized function|blocklist", re.I
)
_DAMAGED = (OSError, RuntimeError, ValueError, LookupError, EOFError, TypeError, AttributeError, zipfile.BadZipFile)


def read_torch_file(
    path: Path,
    *,
    what: str,
    remedy: str,
    allowed: Sequence[type] = (),
    most_bytes: int = MOST_BYTES,
    error: type[HifihrError] = AssetError,
) -> Any:
    """Return the content of a `torch.save` file, on the CPU: tensors, containers, numbers, strings and `allowed` types.

    `what` (such as "a checkpoint") and `remedy` are for the message.
    Raises: UnsafePickleError if the file refers to anything else (nothing is run); `error` if it is missing, not a
    regular file, damaged or larger than `most_bytes`.
    """
    if not path.exists():
        raise error(f"{path}: no such file, expected {what}; {remedy}")
    try:
        with (
            open_regular(path, most_bytes=most_bytes, error=error) as file,
            torch.serialization.safe_globals(list(allowed)),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # torch warns about the pickle's protocol; real errors are raised below
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as problem:
        reason = " ".join(str(problem).split()).partition(". ")[0]
        if _MORE_THAN_DATA.search(str(problem)):
            message = f"{path}: refers to more than plain data; nothing in it was run ({reason}); {remedy}"
            raise UnsafePickleError(message) from problem
        raise error(f"{path}: not {what} ({reason}); {remedy}") from problem
    except _DAMAGED as problem:
        raise error(f"{path}: not {what} ({type(problem).__name__}); {remedy}") from problem
