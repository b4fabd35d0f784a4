"""A size-limited folder of shards fetched from a store, keyed by checksum.

Several processes may share it; a shard is fetched by only one of them. Shards opened longest ago are removed first.
"""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.files import describe_os_error
from hifihr_core.folder_lock import wait_for_turn
from hifihr_core.shards.fetching import Patience, RemoteFile, fetch_file

#: A download without progress for this long was left by a killed process, seconds.
_LEFT_AFTER_S = 3600.0
#: How long a process waits for another one that fetches the same shard, seconds.
_LONGEST_FETCH_S = 3600.0
_PART = re.compile(r"\.[0-9a-f]{64}-(\d+)(-\w+)?\.part")


@dataclass(frozen=True)
class ShardCache:
    """Shards from stores, kept in `folder`, at most `most_bytes` in total; fetching one may remove others."""

    folder: Path
    most_bytes: int
    patience: Patience = field(default_factory=Patience)

    def holds(self, size: int) -> int:
        """Return how many shards of `size` bytes fit. Raises: ConfigError if not even one does."""
        if size > self.most_bytes:
            raise ConfigError(
                f"data.cache_gb: found {self.most_bytes / 1e9:.3g}, but a shard has {size / 1e9:.3g} GB; "
                "set a higher value, ideally enough for several shards"
            )
        return self.most_bytes // max(1, size)

    def local(self, file: RemoteFile) -> Path:
        """Return the path of a shard in the cache, and fetch it first if it is not there.

        Raises: ConfigError if it is larger than the cache; DataError if fetching fails.
        """
        self.holds(file.size)
        path = self.folder / f"{file.sha256}.h5"
        if _is_there(path, file.size):
            return path
        lock = self.folder / f".{file.sha256}.lock"
        with wait_for_turn(lock, what="another process", wait_s=_LONGEST_FETCH_S) as locked:
            if not _is_there(path, file.size):
                part = self._reserve(file, resumes=locked)
                fetch_file(file, part, self.patience)
                _move(part, path)
        return path

    def _reserve(self, file: RemoteFile, *, resumes: bool) -> Path:
        """Make room for a file; return the path to download it to, whose name states the reserved size.

        With `resumes`, this path is that of an earlier, interrupted download, if there is one.
        """
        stem = f".{file.sha256}-{file.size}"
        with wait_for_turn(self.folder / ".room.lock", what="another process"):
            try:
                if resumes:
                    part = self.folder / f"{stem}.part"
                    part.touch()
                else:  # without locks, another process may be fetching the same file
                    handle, name = tempfile.mkstemp(prefix=f"{stem}-", suffix=".part", dir=self.folder)
                    os.close(handle)
                    part = Path(name)
                self._make_room()
            except OSError as error:
                raise DataError(describe_os_error(error, self.folder)) from error
        return part

    def _make_room(self) -> None:
        """Remove abandoned downloads, then the least recently opened shards, until everything reserved fits."""
        shards = sorted(_found(self.folder, "*.h5"), key=lambda found: found[1])
        reserved = 0
        for path, changed, _ in list(_found(self.folder, ".*.part")):
            match = _PART.fullmatch(path.name)
            if match and time.time() - changed < _LEFT_AFTER_S:
                reserved += int(match[1])
            else:
                path.unlink(missing_ok=True)
        total = reserved + sum(size for _, _, size in shards)
        for path, _, size in shards:
            if total <= self.most_bytes:
                return
            try:
                path.unlink(missing_ok=True)
            except PermissionError:  # Windows cannot delete open files
                continue
            total -= size


def _is_there(path: Path, size: int) -> bool:
    """Return whether the complete shard is at `path`; if so, set its modification time to now: it was just used."""
    try:
        if path.stat().st_size != size:
            return False
        os.utime(path)
    except OSError:
        return False
    return True


def _found(folder: Path, pattern: str) -> Iterator[tuple[Path, float, int]]:
    """Yield (path, modification time, bytes) of files; those that another process removes meanwhile are skipped."""
    for path in folder.glob(pattern):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        yield path, facts.st_mtime, facts.st_size


def _move(part: Path, path: Path) -> None:
    try:
        part.replace(path)
    except OSError as error:
        raise DataError(describe_os_error(error, path)) from error
