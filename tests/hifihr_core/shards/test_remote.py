"""Shards at an address, from a server that truncates, falsifies and drops answers: correct bytes, or a timely error."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.records import Sample
from hifihr_core.shards import fetching
from hifihr_core.shards.fetching import Patience, RemoteFile, open_store
from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.shards.remote_folder import RemoteShardSet, find_remote_folders
from hifihr_core.shards.schema import DatasetFacts
from hifihr_core.shards.shard_cache import ShardCache
from hifihr_core.shards.split import Split

pytest.importorskip("aiohttp", reason="reading https:// needs the extra `remote`: pip install 'hifihr[remote]'")

#: Retries start at once, but an answer may take long, so that a busy machine does not fail the tests.
QUICK = Patience(block_s=120.0, tries=3, pause_s=0.01, block_bytes=40_000)
ROOMY = 10**9


class Poses(Split):
    """Poses with one picture each, of random bytes, in shards of ten."""

    bytes_each, plan = 10_000, {}

    def __init__(self, count: int, pictures: int = 1) -> None:
        self.count, self.pictures = count, pictures
        self.facts = DatasetFacts(
            dataset="toy", split="train", version="1", licence="free", joint_definition="freihand"
        )

    def read(self, start: int, stop: int) -> Iterator[Sample]:
        for pose in range(start, stop):
            for picture in range(self.pictures):
                image = np.random.default_rng([pose, picture]).bytes(9_000)
                labels = {"bone_m": np.asarray(pose, np.float32)}
                yield Sample(f"{pose}-{picture}", str(pose), image, np.eye(3, dtype=np.float32), labels)


class Store(ThreadingHTTPServer):
    """Serves a folder with ranges. `faults` maps a file name to what happens at its next requests."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder, self.faults, self.asked = folder, {}, Counter()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        store, name = self.server, Path(self.path).name
        store.asked[name] += 1
        fault = store.faults[name].pop(0) if store.faults.get(name) else ""
        path = store.folder / self.path.lstrip("/")
        if fault == "stall":
            store.closing.wait(30)
            return
        if fault.isdecimal() or not path.is_file():
            self.send_error(int(fault or 404))
            return
        content = path.read_bytes()
        if fault == "lie":
            content = bytes(len(content))
        begin, end = 0, len(content)
        if "Range" in self.headers and fault != "whole":
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            begin, end = int(first), min(int(last) + 1, end)
        self.send_response(206 if (begin, end) != (0, len(content)) else 200)
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        self.wfile.write(content[begin : (begin + end) // 2 if fault == "cut" else end])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "train"
    pack_split(Poses(40), folder, policy=Policy(shard_bytes=100_000))
    assert len(list(folder.glob("*.h5"))) == 4
    return folder


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    store = Store(folder.parent)
    thread = threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield store
    store.closing.set()
    store.shutdown()
    thread.join()
    store.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.h5"))


def check_all(found: ShardSet, folder: Path) -> None:
    expected = ShardSet(folder)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.key, ours.image) == (theirs.key, theirs.image)
        np.testing.assert_array_equal(ours.labels["bone_m"], theirs.labels["bone_m"])


@pytest.mark.parametrize("fault", ["cut", "lie", "stall", "500", "503", "whole", ""])
def test_samples_are_right_whatever_the_store_does_once(store: Store, folder: Path, tmp_path: Path, fault: str) -> None:
    first = names(folder)[0]
    store.faults = {first: ["", fault], "index.json": [fault.replace("lie", "")]}
    patience = replace(QUICK, block_s=1.0) if fault == "stall" else QUICK
    check_all(RemoteShardSet(f"{store.url}/train", ShardCache(tmp_path, ROOMY, patience)), folder)
    assert store.asked[first] >= (2 if fault == "whole" else 3)
    asked = store.asked.copy()
    check_all(RemoteShardSet(f"{store.url}/train", ShardCache(tmp_path, ROOMY, QUICK)), folder)
    assert store.asked - asked == Counter({"index.json": 1})


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (["lie"] * 20, r"its SHA-256 differs from that in the index.*hifihr shards verify"),
        (["cut"] * 20, r"3 attempts failed.*check the network"),
        (["500"] * 20, r"3 attempts failed, the last with: 500.*check the network"),
        (["stall"] * 20, r"no answer within 0.3 s; check the network"),
        (["404"], "the store has no such file; check the address"),
        (["403"] * 20, r"3 attempts failed, the last with: 403"),
    ],
)
def test_a_store_that_stays_bad_is_named_in_time(
    store: Store, folder: Path, tmp_path: Path, faults: list[str], said: str
) -> None:
    patience = Patience(block_s=0.3 if "stall" in faults else 120.0, tries=3, pause_s=0.01, block_bytes=40_000)
    found = RemoteShardSet(f"{store.url}/train", ShardCache(tmp_path, ROOMY, patience))
    store.faults = {names(folder)[1]: faults}
    with pytest.raises(DataError, match=said):
        found[10]
    assert not list(tmp_path.glob("*.h5"))
    store.faults = {}
    assert found[10].key == "10-0"


def test_an_interrupted_download_resumes_where_it_stopped(store: Store, folder: Path, tmp_path: Path) -> None:
    """A process was killed after 80,000 bytes: the next one requests only the rest."""
    shard = ShardSet(folder).index.shards[0]
    (tmp_path / f".{shard.sha256}-{shard.bytes}.part").write_bytes((folder / shard.file).read_bytes()[:80_000])
    check_all(RemoteShardSet(f"{store.url}/train", ShardCache(tmp_path, ROOMY, QUICK)), folder)
    assert store.asked[shard.file] == -(-(shard.bytes - 80_000) // QUICK.block_bytes)
    assert not list(tmp_path.glob(".*.part"))


def test_the_cache_keeps_its_bound_and_what_was_used_last(store: Store, folder: Path, tmp_path: Path) -> None:
    largest = max(shard.bytes for shard in ShardSet(folder).index.shards)
    cache = ShardCache(tmp_path, 2 * largest, QUICK)
    found = RemoteShardSet(f"{store.url}/train", cache)
    assert found.window == 1
    for position in (0, 10, 20, 11, 30):
        assert found[position].key == f"{position}-0"
        time.sleep(0.01)
        assert sum(path.stat().st_size for path in tmp_path.glob("*.h5")) <= cache.most_bytes
    kept = {path.stem for path in tmp_path.glob("*.h5")}
    assert kept == {found.index.shards[number].sha256 for number in (3, 2)}
    assert len(found._cached._open) <= 2
    with pytest.raises(ConfigError, match=r"data\.cache_gb: found .*; set a higher value"):
        RemoteShardSet(f"{store.url}/train", ShardCache(tmp_path, largest - 1, QUICK))


def test_many_readers_fetch_a_shard_once(store: Store, folder: Path, tmp_path: Path) -> None:
    """Each has its own cache object, like separate processes; file locks also work between these."""
    sets = [RemoteShardSet(f"{store.url}/train", ShardCache(tmp_path, ROOMY, QUICK)) for _ in range(4)]
    blocks = -(-sets[0].index.shards[2].bytes // QUICK.block_bytes)
    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda found: found[25].key, sets))
    assert keys == ["25-0"] * 4
    assert store.asked[sets[0].index.shards[2].file] == blocks


def test_shards_are_fetched_before_they_are_read(store: Store, folder: Path, tmp_path: Path) -> None:
    largest = max(shard.bytes for shard in ShardSet(folder).index.shards)
    found = RemoteShardSet(f"{store.url}/train", ShardCache(tmp_path, 2 * largest, QUICK))
    found.expect(np.array([35, 30, 5, 12, 20, 36]))
    for shard in (3, 0, 1, 2):  # each while the one before is in use
        path = tmp_path / f"{found.index.shards[shard].sha256}.h5"
        until = time.monotonic() + 120
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert path.exists()
        assert found[10 * shard].key == f"{10 * shard}-0"


def test_one_picture_each_is_known_without_fetching(store: Store, folder: Path, tmp_path: Path) -> None:
    [found] = find_remote_folders(store.url, ShardCache(tmp_path, ROOMY, QUICK))
    assert store.asked["index.json"] == 3  # at the address, and once in each of its splits
    assert found.rows_of(1).tolist() == list(range(10))
    assert not list(tmp_path.glob("*.h5"))
    assert not found.has_masks


def test_several_pictures_each_are_read_from_the_shard(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    import fsspec

    pack_split(Poses(6, pictures=2), tmp_path / "train")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "train"), "/toys/train", recursive=True)
    [found] = find_remote_folders("memory://toys", ShardCache(tmp_path / "cache", ROOMY, QUICK))
    assert found.rows_of(0).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    check_all(found, tmp_path / "train")


def test_addresses_that_cannot_be(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ShardCache(tmp_path, ROOMY, QUICK)
    with pytest.raises(DataError, match=r"no index\.json in it, or in train or evaluation below it"):
        find_remote_folders(f"{store.url}/nowhere", cache)
    with pytest.raises(ConfigError, match=r"unknown scheme nonsense://"):
        open_store("nonsense://a/b")

    def without(*_: object) -> None:
        raise ImportError("no s3fs")

    monkeypatch.setattr("fsspec.core.url_to_fs", without)
    with pytest.raises(ConfigError, match="pip install s3fs"):
        open_store("s3://bucket/a")
    with pytest.raises(ConfigError, match=r"the package for smb:// is not installed; .* no s3fs"):
        open_store("smb://server/a")
    with pytest.raises(DataError, match="the index has no valid SHA-256 of this file"):
        RemoteFile("s3://bucket/a.h5", 10, "../../etc/passwd")


def test_an_endless_index_is_not_read(store: Store, folder: Path) -> None:
    with pytest.raises(DataError, match="more than 100 bytes, expected an index"):
        fetching.read_small(f"{store.url}/train/index.json", most_bytes=100, patience=QUICK)
