"""A shard folder in an object store as a sequence of samples: shards are fetched on demand or shortly before use."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import Any, overload

import numpy as np
from jaxtyping import Int64

from hifihr_core.errors import DataError, HifihrError
from hifihr_core.shards.fetching import RemoteFile, read_small
from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.reader import ShardReader
from hifihr_core.shards.schema import INDEX_NAME, ShardFacts, ShardIndex, parse_index
from hifihr_core.shards.shard_cache import ShardCache

_LARGEST_INDEX = 64 << 20


class RemoteShardSet(ShardSet):
    """All samples of a finished shard folder at an address (``s3://``, ``gs://``, ``https://``), by position.

    Shards are fetched to `cache` and checked there. Samples may be read in any order, but that is quick only if samples
    that are read one after the other come from few shards (see `window`); `expect` announces the order, so that shards
    are fetched before they are needed. `index` is the folder's index, read from the address if it is not given.
    Raises: DataError if there is no index at the address or the store does not answer; ConfigError if the cache is too
    small for a shard, or the package for the store is not installed.
    """

    def __init__(
        self, url: str, cache: ShardCache, *, labels: Collection[str] | None = None, index: ShardIndex | None = None
    ) -> None:
        found = _read_remote_index(url, cache) if index is None else index
        if found is None:
            raise DataError(f"{url}: contains no {INDEX_NAME}, expected a finished shard folder; check the address")
        self.folder = Path(url)  # for messages
        self.index = found
        self.starts = (0, *np.cumsum([shard.samples for shard in found.shards]).tolist())
        self._cached = _CachedReaders(url.rstrip("/"), found.shards, cache, labels)
        self.readers = self._cached

    @property
    def window(self) -> int:
        """Return how many shards may be in use at a time while the cache still has room to fetch the next ones."""
        return self._cached.window

    @property
    def has_masks(self) -> bool:
        """Return whether the first shard has a mask: checking all of them would fetch all."""
        return len(self.readers) > 0 and bool(np.diff(self.readers[0].layout.annotations.offsets).any())

    def rows_of(self, shard: int) -> Int64[np.ndarray, " N"]:
        """Return, for every sample in a shard, the row of its annotation in this shard.

        The shard is fetched only if it has several pictures per annotation.
        """
        facts = self.index.shards[shard]
        if facts.samples == facts.annotations:
            return np.arange(facts.samples)
        return super().rows_of(shard)

    def expect(self, positions: Int64[np.ndarray, " N"]) -> None:
        """Announce the order in which samples will be read, so that shards are fetched before they are needed."""
        shards = np.searchsorted(self.starts, positions, side="right") - 1
        _, first = np.unique(shards, return_index=True)
        self._cached.plan(shards[np.sort(first)].tolist())


def find_remote_folders(url: str, cache: ShardCache, *, labels: Collection[str] | None = None) -> list[RemoteShardSet]:
    """Return the shard folder at an address, or else those of its splits, in `train` and `evaluation` below it.

    Raises: the same as `RemoteShardSet`.
    """
    url = url.rstrip("/")
    for places in ([url], [f"{url}/train", f"{url}/evaluation"]):
        found = {place: index for place in places if (index := _read_remote_index(place, cache)) is not None}
        if found:
            return [RemoteShardSet(place, cache, labels=labels, index=index) for place, index in found.items()]
    raise DataError(f"{url}: no {INDEX_NAME} in it, or in train or evaluation below it; check the address")


class _CachedReaders(Sequence[ShardReader]):
    """Shard readers, opened on demand; readers whose files were removed from the cache are dropped."""

    def __init__(
        self, url: str, shards: Sequence[ShardFacts], cache: ShardCache, labels: Collection[str] | None
    ) -> None:
        self.cache, self.labels, self.shards = cache, labels, tuple(shards)
        self.files = tuple(RemoteFile(f"{url}/{shard.file}", shard.bytes, shard.sha256) for shard in shards)
        held = cache.holds(max((file.size for file in self.files), default=1))
        self.window = max(1, min(held // 2, len(self.files)))
        self.ahead = held - self.window
        self._forget()

    def _forget(self) -> None:
        self._open: dict[int, ShardReader] = {}
        self._planned: tuple[int, ...] = ()
        self._lock, self._reached, self._fetching = Lock(), 0, False

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, shard: int) -> ShardReader: ...

    @overload
    def __getitem__(self, shard: slice) -> Sequence[ShardReader]: ...

    def __getitem__(self, shard: int | slice) -> ShardReader | Sequence[ShardReader]:
        if isinstance(shard, slice):
            return [self[one] for one in range(len(self))[shard]]
        shard = range(len(self))[shard]
        reader = self._open.get(shard)
        return self._fetch(shard) if reader is None else reader

    def __iter__(self) -> Iterator[ShardReader]:
        return (self[shard] for shard in range(len(self)))

    def plan(self, shards: Sequence[int]) -> None:
        """Announce the order in which shards will be used."""
        with self._lock:
            self._planned, self._reached = tuple(shards), 0
        self._look_ahead()

    def _fetch(self, shard: int) -> ShardReader:
        path = self.cache.local(self.files[shard])
        reader = ShardReader(path, labels=self.labels, samples=self.shards[shard].samples)
        with self._lock:
            self._open = {number: one for number, one in self._open.items() if one.path.exists()}
            reader = self._open.setdefault(shard, reader)
            if shard in self._planned:
                self._reached = max(self._reached, self._planned.index(shard))
        self._look_ahead()
        return reader

    def _look_ahead(self) -> None:
        """Fetch the next shards in a thread, as long as there is room beside those in use."""
        with self._lock:
            wanted = self._planned[self._reached : self._reached + self.ahead + 1]
            if self._fetching or not wanted:
                return
            self._fetching = True
        Thread(target=self._bring, args=(wanted,), name="hifihr-ahead", daemon=True).start()

    def _bring(self, shards: Sequence[int]) -> None:
        try:
            for shard in shards:
                self.cache.local(self.files[shard])
        except HifihrError:
            pass  # the reader of the shard hits the same error and reports it
        finally:
            with self._lock:
                self._fetching = False


def _read_remote_index(url: str, cache: ShardCache) -> ShardIndex | None:
    """Return the index of the shard folder at an address, or None if there is no index."""
    place = f"{url.rstrip('/')}/{INDEX_NAME}"
    content = read_small(place, most_bytes=_LARGEST_INDEX, patience=cache.patience)
    return None if content is None else parse_index(content, place)
