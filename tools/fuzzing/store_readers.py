"""Readers of shards in an object store: the index, the shards, a server's answers, and the local cache."""

import hashlib
import json
import socket
import tempfile
from pathlib import Path
from threading import Thread

from fuzzing.guard import Reader
from fuzzing.mutations import damage_bytes, damage_either, damage_json, damage_shard
from fuzzing.small_shards import small_shard
from hifihr_core.shards.fetching import Patience
from hifihr_core.shards.remote_folder import find_remote_folders
from hifihr_core.shards.shard_cache import ShardCache

_QUICK = Patience(block_s=5.0, tries=1, pause_s=0.0, block_bytes=20_000)


def _read_all(url: str, cache: Path) -> None:
    """Read every sample and label of the folders at an address, fetched to `cache`."""
    for folder in find_remote_folders(url, ShardCache(cache, 10**8, _QUICK)):
        assert folder.has_masks in (True, False)
        for number in range(len(folder.index.shards)):
            folder.rows_of(number)
        list(folder)


def _read_afresh(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as cache:
        _read_all(path.parent.as_uri(), Path(cache))


def _index(folder: Path) -> Path:
    return small_shard(folder).with_name("index.json")


def _read_shard(path: Path) -> None:
    """Read a shard whose index matches its damaged bytes, since a store may claim anything."""
    place, content = path.with_name("index.json"), path.read_bytes()
    index = json.loads(place.read_text())
    index["shards"][0] |= {"bytes": max(1, len(content)), "sha256": hashlib.sha256(content).hexdigest()}
    place.write_text(json.dumps(index))
    _read_afresh(path)


def _cached(folder: Path) -> Path:
    small_shard(folder)
    _read_all(folder.as_uri(), folder / "cache")
    return next((folder / "cache").glob("*.h5"))


def _read_cached(path: Path) -> None:
    _read_all(path.parents[1].as_uri(), path.parent)


def _half(folder: Path) -> Path:
    """Write what a killed download leaves behind: the beginning of a shard."""
    whole = _cached(folder)
    part = whole.with_name(f".{whole.stem}-{whole.stat().st_size}.part")
    part.write_bytes(whole.read_bytes()[:5_000])
    return part


def _read_half(path: Path) -> None:
    for shard in path.parent.glob("*.h5"):
        shard.unlink()
    _read_all(path.parents[1].as_uri(), path.parent)


def _answer(folder: Path) -> Path:
    """Write a server's answer to a request for an index."""
    content = small_shard(folder).with_name("index.json").read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    (folder / "answer").write_bytes(head.encode() + content)
    return folder / "answer"


def _read_answer(path: Path) -> None:
    """Request a folder from a server that gives the damaged answer to every request."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=_serve, args=(server, path.read_bytes()), daemon=True).start()
        find_remote_folders(f"http://127.0.0.1:{server.getsockname()[1]}/toy", ShardCache(path.parent, 10**8, _QUICK))


def _serve(server: socket.socket, answer: bytes) -> None:
    while True:
        try:
            asked, _ = server.accept()
        except OSError:  # the connection was closed
            return
        with asked:
            asked.settimeout(5.0)
            try:
                asked.recv(65536)
                asked.sendall(answer)
            except OSError:
                continue


STORE_READERS: dict[str, Reader] = {
    "store index": Reader(_index, _read_afresh, damage_either(damage_json)),
    "store shard": Reader(small_shard, _read_shard, damage_either(damage_shard)),
    "store answer": Reader(_answer, _read_answer, damage_bytes),
    "cached shard": Reader(_cached, _read_cached, damage_either(damage_shard)),
    "cached part": Reader(_half, _read_half, damage_bytes),
}
