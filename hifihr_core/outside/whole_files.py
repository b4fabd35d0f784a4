"""Read a user's file as a whole: only regular files, and only up to a maximum size."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from hifihr_core.errors import DataError, HifihrError
from hifihr_core.files import describe_os_error

#: Maximum size of files that are read at once; longer ones are read as streams.
MOST_BYTES = 64 << 20
_BLOCK_BYTES = 4 << 20


def check_regular(path: Path, *, most_bytes: int | None = None, error: type[HifihrError] = DataError) -> None:
    """Raise `error` unless this is a regular file (or a link to one) of at most `most_bytes` bytes (None: any size)."""
    try:
        found = path.stat()
    except (OSError, ValueError) as problem:  # ValueError: a zero byte in the path
        reason = describe_os_error(problem, path) if isinstance(problem, OSError) else f"{path}: {problem}"
        raise error(reason) from problem
    _check(found, path, most_bytes, error)


def open_found(path: Path, *, most_bytes: int | None = None, error: type[HifihrError] = DataError) -> BufferedReader:
    """Open a file that was found to be regular a moment ago, and check it again once it is open.

    Saves one system call for each of a dataset's many pictures. Use `open_regular` for all other paths: opening a pipe
    may block, and opening a device may start it. Raises: the same as `open_regular`.
    """
    try:
        file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
    except (OSError, ValueError) as problem:
        check_regular(path, most_bytes=most_bytes, error=error)  # its message is plainer for folders
        reason = describe_os_error(problem, path) if isinstance(problem, OSError) else f"{path}: {problem}"
        raise error(reason) from problem
    try:
        _check(os.fstat(file.fileno()), path, most_bytes, error)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def open_regular(
    path: Path, *, most_bytes: int | None = MOST_BYTES, error: type[HifihrError] = DataError
) -> Iterator[BufferedReader]:
    """Open a regular file for reading; pipes and devices are rejected, since they may never end.

    Raises: `error` if the file is missing, not a regular file, or longer than `most_bytes`; reading from it may raise
    OSError.
    """
    check_regular(path, most_bytes=most_bytes, error=error)
    try:
        file = path.open("rb")
    except OSError as problem:
        raise error(describe_os_error(problem, path)) from problem
    with file:
        yield file


def read_whole(path: Path, *, most_bytes: int = MOST_BYTES, error: type[HifihrError] = DataError) -> bytes:
    """Return the content of a regular file.

    Raises: `error` if the file is missing, not a regular file, longer than `most_bytes`, or cannot be read.
    """
    try:
        with open_regular(path, most_bytes=most_bytes, error=error) as file:
            return file.read()  # given a size, Python would allocate that much first
    except OSError as problem:
        raise error(describe_os_error(problem, path)) from problem


def read_head(path: Path, count: int, *, error: type[HifihrError] = DataError) -> bytes:
    """Return the first `count` bytes of a regular file, however long it is. Raises: `error` if it cannot be read."""
    try:
        with open_regular(path, most_bytes=None, error=error) as file:
            return file.read(count)
    except OSError as problem:
        raise error(describe_os_error(problem, path)) from problem


def read_text(path: Path, *, most_bytes: int = MOST_BYTES, error: type[HifihrError] = DataError) -> str:
    r"""Return the text of a UTF-8 file, with all line ends as ``\n``.

    Raises: `error` if it cannot be read, is longer than `most_bytes`, or is not UTF-8.
    """
    try:
        text = read_whole(path, most_bytes=most_bytes, error=error).decode("utf-8")
    except UnicodeDecodeError as problem:
        message = f"{path}: byte {problem.start} is not UTF-8, expected a text file; check the path"
        raise error(message) from problem
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a path, without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check(found: os.stat_result, path: Path, most_bytes: int | None, error: type[HifihrError]) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or device"
        raise error(f"{path}: {kind}, expected a file; check the path")
    if most_bytes is not None and found.st_size > most_bytes:
        raise error(f"{path}: {found.st_size:,} bytes, expected at most {most_bytes:,}; check the path")


def sha256_of(path: Path, *, error: type[HifihrError] = DataError) -> str:
    """Return the SHA-256 of a regular file as hexadecimal digits. Raises: `error` if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open_regular(path, most_bytes=None, error=error) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as problem:
        raise error(describe_os_error(problem, path)) from problem
    return digest.hexdigest()
