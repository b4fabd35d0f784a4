"""Reading a user's file at once: only regular files, and never more than was asked for."""

import hashlib
import stat
from pathlib import Path

from hifihr_core.errors import DataError, HifihrError
from hifihr_core.files import describe_os_error

#: More than any file that is read at once needs; longer ones are read as streams.
MOST_BYTES = 64 << 20
_BLOCK_BYTES = 4 << 20


def read_whole(path: Path, *, most_bytes: int = MOST_BYTES, error: type[HifihrError] = DataError) -> bytes:
    """Return the content of a regular file.

    Pipes and devices are refused, since they may never end. Raises: `error` if the file is missing, not a regular file,
    or longer than `most_bytes`.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or device"
            raise error(f"{path}: {kind}, expected a file; check the path")
        if found.st_size > most_bytes:
            raise error(f"{path}: {found.st_size:,} bytes, expected at most {most_bytes:,}; check the path")
        with path.open("rb") as file:
            return file.read(most_bytes)
    except OSError as problem:
        raise error(describe_os_error(problem, path)) from problem


def sha256_of(path: Path, *, error: type[HifihrError] = DataError) -> str:
    """Return the SHA-256 of a file as hexadecimal digits. Raises: `error` if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as problem:
        raise error(describe_os_error(problem, path)) from problem
    return digest.hexdigest()
