"""One writer per folder: a lock that the operating system releases when its process ends, even if it is killed."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hifihr_core.errors import ConfigError, DataError, HifihrError
from hifihr_core.files import describe_os_error

#: The lock file; it is removed when the lock is released.
LOCK_NAME = ".lock"
#: The lock on file systems without locks: a file whose existence is the lock.
PRESENCE_NAME = ".locked"

#: Error numbers of file systems without locks (some NFS and Lustre mounts).
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})


@contextmanager
def lock_folder(
    folder: Path, *, what: str, by_presence: bool = False, error: type[HifihrError] = ConfigError
) -> Iterator[bool]:
    """Hold the folder's lock while the body runs; yield whether the file system has locks at all.

    On a file system without locks, nothing is locked, unless `by_presence` is True: then the existence of a file is the
    lock, which a killed process leaves behind. `what` describes the other writers, such as "another run". Raises:
    `error` if another process holds the lock; DataError if the folder cannot be written.
    """
    busy = error(f"{folder}: {what} is using it; wait until it ends, or choose another folder")
    stale = error(f"{busy} (if there is no such process, delete {PRESENCE_NAME} in this folder)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _take(folder / LOCK_NAME, busy)
        presence = _take_by_presence(folder / PRESENCE_NAME, stale) if handle is None and by_presence else None
    except OSError as problem:
        raise DataError(describe_os_error(problem, folder)) from problem
    try:
        yield handle is not None
    finally:
        if handle is not None:
            _release(handle, folder / LOCK_NAME)
        if presence is not None:
            presence.unlink(missing_ok=True)


@contextmanager
def wait_for_turn(path: Path, *, what: str, wait_s: float = 60.0) -> Iterator[bool]:
    """Wait for the lock of a file and hold it while the body runs; yield whether the file system has locks at all.

    `what` describes the other processes. Raises: DataError if the file cannot be written, or another process holds the
    lock for longer than `wait_s` seconds.
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
                raise DataError(
                    f"{path}: {what} has held the lock for too long; end that process and run again"
                ) from error
            time.sleep(0.05)
        else:
            return True


def _take(path: Path, busy: HifihrError) -> int | None:
    """Return the handle of the locked file, or None on a file system without locks. Raises: `busy` if it was locked."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
            if _is_at(handle, path):
                return handle
        except OSError as error:
            os.close(handle)
            if error.errno in _NO_LOCKS:
                path.unlink(missing_ok=True)
                return None
            raise busy from error
        os.close(handle)  # another process removed the file in the meantime


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _release(handle: int, path: Path) -> None:
    """Remove the lock file and release the lock; Windows cannot remove an open file."""
    if os.name != "nt":
        path.unlink(missing_ok=True)
    os.close(handle)
    if os.name == "nt":  # pragma: no cover - Windows
        with suppress(OSError):
            path.unlink()


def _take_by_presence(path: Path, stale: HifihrError) -> Path:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError as error:
        raise stale from error
    return path


if os.name == "nt":  # pragma: no cover - Windows

    def _lock(handle: int) -> None:
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]

else:

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
