"""Download a file from an object store in blocks, with retries and time limits, and check its SHA-256 at the end."""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.files import describe_os_error
from hifihr_core.outside.whole_files import sha256_of

T = TypeVar("T")

#: An incomplete answer shorter than this counts as a failed attempt.
_LEAST_BYTES = 64 << 10
#: Maximum number of downloads of a file whose checksum is wrong.
_WHOLE_TRIES = 4
_LONGEST_PAUSE_S = 30.0
#: Packages required for the most common stores.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "'hifihr[remote]'", "abfs": "adlfs"}
_PACKAGES |= {"https": _PACKAGES["http"], "az": "adlfs"}


@dataclass(frozen=True)
class Patience:
    """Limits for a slow store.

    A file is downloaded in blocks of at most `block_bytes`. A block may take `block_s` seconds and is attempted at most
    `tries` times; the pause after the first attempt is `pause_s` seconds and doubles with every further one. With the
    defaults, a store that never answers causes an error after about six minutes.
    """

    block_s: float = 60.0
    tries: int = 6
    pause_s: float = 0.5
    block_bytes: int = 8 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file in a store, with its expected length in bytes and its SHA-256.

    Raises: DataError if `sha256` is not 64 lower-case hexadecimal digits.
    """

    url: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise DataError(
                f"{self.url}: the index has no valid SHA-256 of this file; prepare the dataset again and upload it"
            )


def is_url(name: str) -> bool:
    """Return whether `name` is an address, such as ``s3://bucket/folder``, rather than a local path."""
    return "://" in name


def open_store(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it.

    Raises: ConfigError if the scheme of the address is unknown or the package for it is not installed.
    """
    scheme = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs

        store, path = url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        remedy = f"run pip install {package}" if package else f"install the one that fsspec names: {error}"
        raise ConfigError(f"{url}: the package for {scheme}:// is not installed; {remedy}") from error
    except ValueError as error:
        raise ConfigError(f"{url}: unknown scheme {scheme}://, expected s3, gs, https, memory or similar") from error
    return store, path


def read_small(url: str, *, most_bytes: int, patience: Patience) -> bytes | None:
    """Return the content of a small file, or None if it does not exist.

    Raises: DataError if it cannot be read or is longer than `most_bytes`; ConfigError as for `open_store`.
    """
    store, path = open_store(url)

    def read() -> bytes | None:
        try:
            return store.cat_file(path, start=0, end=most_bytes + 1)
        except FileNotFoundError:
            return None

    content = _keep_trying(read, url, patience)
    if content is not None and len(content) > most_bytes:
        raise DataError(f"{url}: more than {most_bytes:,} bytes, expected an index; check the address")
    return content


def fetch_file(file: RemoteFile, part: Path, patience: Patience) -> None:
    """Download a file to `part`, continuing after the bytes that `part` already has.

    Raises: DataError if the store lacks the file, does not answer within the limits of `patience` or has a file with
    another SHA-256, or if `part` cannot be written; ConfigError as for `open_store`.
    """
    try:
        for _ in range(_WHOLE_TRIES):
            _append_missing(file, part, patience)
            if sha256_of(part) == file.sha256:
                return
            part.unlink()
    except OSError as error:
        raise DataError(describe_os_error(error, part)) from error
    raise DataError(
        f"{file.url}: its SHA-256 differs from that in the index after each of {_WHOLE_TRIES} downloads; "
        "check the folder that was uploaded with `hifihr shards verify`, and upload this file again"
    )


def _append_missing(file: RemoteFile, part: Path, patience: Patience) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > file.size:
        part.unlink()
        have = 0
    store, path = open_store(file.url)
    with part.open("ab") as out:
        while have < file.size:
            stop = min(have + patience.block_bytes, file.size)
            read = partial(_read_block, store, path, have, stop, file.size)
            have += out.write(_keep_trying(read, file.url, patience))


def _read_block(store: Any, path: str, start: int, stop: int, size: int) -> bytes:
    """Return the bytes from `start` to `stop`, or fewer if the store sends at least `_LEAST_BYTES` of them.

    `size` is that of the whole file. Raises: EOFError if the store sends too few or too many bytes.
    """
    content = store.cat_file(path, start=start, end=stop)
    if len(content) == size and (start, stop) != (0, size):  # a server without range support sends the whole file
        return content[start:]
    if len(content) > stop - start or len(content) < min(_LEAST_BYTES, stop - start):
        raise EOFError(f"received {len(content):,} of {stop - start:,} bytes")
    return content


def _keep_trying(work: Callable[[], T], url: str, patience: Patience) -> T:
    """Return the result of `work` from the first attempt that succeeds.

    Raises: DataError if all attempts fail, with the reason of the last one, or if the file is missing or forbidden.
    """
    reason = ""
    for number in range(patience.tries):
        if number:
            time.sleep(min(patience.pause_s * 2 ** (number - 1), _LONGEST_PAUSE_S))
        try:
            return _within(patience.block_s, work)
        except FileNotFoundError as error:
            raise DataError(
                f"{url}: the store has no such file; check the address, and that all shards were uploaded"
            ) from error
        except PermissionError as error:
            raise DataError(f"{url}: the store denies access; check the credentials of this machine") from error
        except TimeoutError:
            reason = f"no answer within {patience.block_s:g} s"
        except Exception as error:  # noqa: BLE001 (every store has exceptions of its own)
            reason = " ".join(str(error).split())[:200] or type(error).__name__
    raise DataError(
        f"{url}: {patience.tries} attempts failed, the last with: {reason}; check the network and run again"
    )


def _within(limit_s: float, work: Callable[[], T]) -> T:
    """Return the result of `work`, run in a thread.

    Raises: TimeoutError after `limit_s` seconds (the thread cannot be stopped and runs on); the exception of `work`.
    """
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:  # noqa: BLE001 (handed on to who waits)
            answers.put((None, error))

    Thread(target=run, name="hifihr-fetch", daemon=True).start()
    try:
        value, error = answers.get(timeout=limit_s)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return value
