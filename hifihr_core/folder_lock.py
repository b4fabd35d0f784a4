"""One writer per folder: a lock that the operating system releases when its process ends, however it ends."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.files import describe_os_error

#: The file that is locked; it stays, empty.
LOCK_NAME = ".lock"

#: File systems without locks (some NFS and Lustre mounts) answer with one of these: then there is no lock.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@contextmanager
def lock_folder(folder: Path, *, what: str) -> Iterator[bool]:
    """Hold the folder's lock while the body runs; yield whether the file system has locks at all.

    Raises: ConfigError if another process holds it, naming `what`; DataError if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise DataError(describe_os_error(error, folder)) from error
    try:
        yield _take(handle, folder, what)
    finally:
        os.close(handle)  # which gives the lock back


@contextmanager
def wait_for_turn(path: Path, *, what: str, wait_s: float = 60.0) -> Iterator[bool]:
    """Wait for the lock of a file and hold it while the body runs; yield whether the file system has locks at all.

    Raises: DataError if the file cannot be written, or another process, `what`, keeps it for longer than `wait_s`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise DataError(describe_os_error(error, path)) from error
    try:
        yield _wait(handle, path, what, time.monotonic() + wait_s)
    finally:
        os.close(handle)


def _wait(handle: int, path: Path, what: str, deadline: float) -> bool:
    while True:
        try:
            _lock(handle)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            if time.monotonic() > deadline:
                raise DataError(f"{path}: {what} has held it for too long; end that process, or start again") from error
            time.sleep(0.05)
        else:
            return True


def _take(handle: int, folder: Path, what: str) -> bool:
    try:
        _lock(handle)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise ConfigError(f"{folder}: {what} is using it; wait until it ends, or choose another folder") from error
    return True


if os.name == "nt":  # pragma: no cover - Windows

    def _lock(handle: int) -> None:
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]

else:

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
