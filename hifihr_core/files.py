"""Write files atomically, and explain failures in one line."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hifihr_core.errors import DataError

#: File extensions of photos, in lower case.
PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
        *(".avif", ".avifs", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".sgi", ".pcx", ".psd", ".qoi"),
    )
)

#: Error numbers of the operating system, and what a user can do about them.
REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file is too large for this file system; choose another folder",
    errno.EACCES: "permission denied; change the permissions or choose another path",
    errno.EPERM: "not permitted; change the permissions or choose another path",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "no such file or folder; check the path",
    errno.ENOTDIR: "a part of this path is a file, expected a folder; check the path",
    errno.EISDIR: "this is a folder, expected a file; check the path",
    errno.EEXIST: "it already exists; choose another path",
    errno.EIO: "the device reported a read or write error; check the disk",
    errno.EMFILE: "too many files are open; raise the limit with `ulimit -n 4096`",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def describe_os_error(error: OSError, path: Path | None = None) -> str:
    """Return one line for an operating-system error: the path, what was found, the remedy.

    `path` is used if the error names none, as when writing to an open file.
    """
    name = error.filename if error.filename is not None else path
    reason = REMEDIES.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return f"{name}: {reason}" if name is not None else reason


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there if the block succeeds, remove it otherwise.

    The temporary file is empty and has the suffix of `path`; missing folders are created. Readers see the old file or
    the complete new one, never an incomplete one. Any exception in the block, including Ctrl-C, leaves `path`
    unchanged. Raises: DataError if `path` is a folder, a pipe or a device, or the operating system reports an
    error.
    """
    _refuse_other_kinds(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        temporary = error.filename is not None and Path(error.filename).absolute().parent == path.absolute().parent
        raise DataError(f"{path}: {_reason(error)}" if temporary else describe_os_error(error, path)) from error
    part = Path(name)
    try:
        yield part
        _open_to_others(part)
        _flush(part)
        part.replace(path)
    except OSError as error:
        named = error.filename is not None and Path(error.filename) not in (part, path)
        raise DataError(describe_os_error(error) if named else f"{path}: {_reason(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise DataError if no file can be written to `path`: a check before long work, which leaves no file behind."""
    _refuse_other_kinds(path)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(f"{path}: {_reason(error)}") from error


def plain_name(name: str) -> str:
    """Return a name that OBJ and other files can contain: white space and control characters become `_`."""
    return "".join(letter if letter.isprintable() and not letter.isspace() else "_" for letter in name)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with write_atomically(path) as part:
        part.write_text(text, encoding="utf-8")


def _refuse_other_kinds(path: Path) -> None:
    """Raise DataError if moving a file to `path` would replace a folder, a pipe or a device, such as /dev/null."""
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing exists there; or it cannot be inspected, and then it cannot be written either
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise DataError(f"{path}: {kind}, which is never replaced, expected a file or nothing; choose another path")


def _reason(error: OSError) -> str:
    """Return only the reason for an error, without the name of the temporary file."""
    return describe_os_error(OSError(error.errno, error.strerror or str(error)))


def _open_to_others(part: Path) -> None:
    """Give the file the mode of an ordinary new file; mkstemp makes it private."""
    mask = os.umask(0)
    os.umask(mask)
    part.chmod(0o666 & ~mask)


def _flush(part: Path) -> None:
    """Flush the bytes to the disk, so that the move never shows an empty file after a crash."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
