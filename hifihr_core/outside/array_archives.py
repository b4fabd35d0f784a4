"""Read `.npz` files: the header of each array is checked against its content, and no code in the file is run."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np

from hifihr_core.errors import AssetError, HifihrError
from hifihr_core.outside.number_files import parse_npy
from hifihr_core.outside.whole_files import open_regular

#: Default limit. The arrays of a hand model need less; readers of NIMBLE's texture maps pass a higher limit.
MOST_BYTES = 512 << 20
#: Kinds of NumPy types: Booleans, integers, floats and strings.
_KINDS = "biufU"
_DAMAGED = (
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,  # raised by zipfile for encrypted entries; its child NotImplementedError, for later versions
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(
    path: Path,
    *,
    what: str,
    remedy: str,
    needed: Collection[str] = (),
    most_bytes: int = MOST_BYTES,
    error: type[HifihrError] = AssetError,
) -> dict[str, np.ndarray]:
    """Return the arrays in a `.npz` file by name; they contain numbers or strings and are writable.

    `what` (such as "a hand file") and `remedy` are for the message; `needed` are the names of required arrays.
    Raises: `error` if the file is missing, damaged or larger than `most_bytes` when unpacked, contains objects, or
    lacks a required array.
    """
    if not path.exists():
        raise error(f"{path}: no such file, expected {what}; {remedy}")
    try:
        with open_regular(path, most_bytes=most_bytes, error=error) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > most_bytes:
                raise ValueError(f"unpacked, it has {total:,} bytes, expected at most {most_bytes:,}")
            arrays = {member.filename.removesuffix(".npy"): _read(archive, member) for member in members}
    except (
        OSError,
        *_DAMAGED,
    ) as problem:  # OSError too: zipfile may seek to a wrong place if the directory is damaged
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise error(f"{path}: not {what} ({reason}); {remedy}") from problem
    missing = sorted(set(needed) - set(arrays))
    if missing:
        raise error(f"{path}: no array {missing[0]!r}, expected {what} for this version of hifihr; {remedy}")
    return arrays


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    content = bytearray(member.file_size)  # NumPy shares this buffer and may write to it
    with archive.open(member) as file:
        found = cast(BufferedIOBase, file).readinto(content)
        if found != len(content) or file.read(1):
            raise EOFError(f"{member.filename} ends after {found:,} of {len(content):,} bytes")
    return parse_npy(content, kinds=_KINDS)
