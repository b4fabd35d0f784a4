"""Claim: after the first epoch, training from an object store is as fast as from disk, and wrong bytes are never used.

Shards of 224 px pictures are served on the loopback, with `--faults` by a server that drops three answers in twenty,
truncates as many, and sends wrong bytes for one in ten. The stream reads them through a cache of two shards; for
comparison, the same stream reads them from disk. Epochs of both alternate, and the first of each is reported
separately; figures are images per second by the clock and of processor time, and their ratio. `--shards 2` fits in the
cache; with more, every epoch fetches all shards again, ahead of their use. The server runs in the same process, so its
time is included in the store's.

Usage: python benchmarks/store_speed.py [--shards 2] [--epochs 5] [--faults] [--json FILE]
"""

import argparse
import hashlib
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from reporting import report
from stream_speed import BATCH, IMAGE_PX, make_samples

from hifihr_core.shards.schema import INDEX_NAME, DatasetFacts
from hifihr_core.shards.summary import Tally, summarise
from hifihr_core.shards.writer import write_shard
from hifihr_core.stream.batch_stream import BatchStream, StreamOptions
from hifihr_core.stream.datasets import open_dataset

SAMPLES_EACH = 256
FACTS = DatasetFacts(
    dataset="benchmark", split="train", version="1", licence="free", joint_definition="freihand", synthetic=True
)


class Store(ThreadingHTTPServer):
    """Serves a folder with range requests; `faults` generates random faults, or is None."""

    daemon_threads = True

    def __init__(self, folder: Path, faults: random.Random | None) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder, self.faults, self.sent, self.accidents = folder, faults, 0, 0


class _Answer(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        """Answer one request, possibly with a fault."""
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        luck = 1.0 if self.server.faults is None or path.suffix != ".h5" else self.server.faults.random()
        self.server.accidents += luck < 0.40
        if luck < 0.15:
            return
        begin, end = 0, path.stat().st_size
        if "Range" in self.headers:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            begin, end = int(first), min(int(last) + 1, end)
        with path.open("rb") as file:
            file.seek(begin)
            content = file.read(end - begin)
        if 0.30 <= luck < 0.40:
            content = bytes(len(content))
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2 if 0.15 <= luck < 0.30 else None])
        self.server.sent += len(content)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def write_folder(folder: Path, count: int) -> int:
    """Write a folder of shards; return the bytes of the largest."""
    folder.mkdir(parents=True)
    tally, samples = Tally(), make_samples(count * SAMPLES_EACH)
    for number in range(count):
        path = folder / f"train-{number:05d}.h5"
        write_shard(path, samples[number * SAMPLES_EACH :][:SAMPLES_EACH], facts=FACTS, software="benchmark")
        tally.add_finished(path)
    index = summarise(FACTS, {"software": "benchmark"}, (), tally, folder)
    (folder / INDEX_NAME).write_text(index.dump())
    return max(shard.bytes for shard in index.shards)


def open_one(name: str, cache_bytes: int) -> BatchStream:
    """Return the stream of a dataset as opened by training."""
    dataset = open_dataset(name, training=True, labels=None, versions="all", cache_bytes=cache_bytes)
    options = StreamOptions(batch_size=BATCH, image_px=IMAGE_PX)
    return BatchStream([dataset.part(None)], options, num_workers=2)


def epoch(stream: BatchStream) -> tuple[float, float, str]:
    """Return (seconds, processor seconds, checksum of all labels in the order of keys) of one epoch."""
    begin, cpu, sums = time.perf_counter(), time.process_time(), {}
    for batch in stream:
        pixels = batch.image.sum(dim=(1, 2, 3)).tolist()
        sums.update(zip(batch.keys, pixels, strict=True))
    digest = hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()
    return time.perf_counter() - begin, time.process_time() - cpu, digest


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        os.environ["HIFIHR_DATA"] = str(Path(name) / "data")
        folder = Path(name) / "served" / "train"
        largest = write_folder(folder, options.shards)
        store = Store(folder.parent, random.Random(0) if options.faults else None)
        threading.Thread(target=store.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{store.server_address[1]}/train"
        distant, near = open_one(address, 2 * largest), open_one(str(folder), 0)
        first = {"store": epoch(distant), "disk": epoch(near)}
        later: dict[str, list[tuple[float, float, str]]] = {"store": [], "disk": []}
        for _ in range(options.epochs):
            later["store"].append(epoch(distant))
            later["disk"].append(epoch(near))
        pairs = list(zip(later["store"], later["disk"], strict=True))
        digests = {found[2] for found in (*first.values(), *later["store"], *later["disk"])}
        row = {
            "samples": options.shards * SAMPLES_EACH,
            "MB per shard": round(largest / 1e6, 1),
            "first epoch, disk / store by the clock": round(first["disk"][0] / first["store"][0], 3),
            "later epochs, store's speed over the disk's by the clock": round(
                statistics.median(disk[0] / far[0] for far, disk in pairs), 3
            ),
            "the same in processor time": round(statistics.median(disk[1] / far[1] for far, disk in pairs), 3),
            "MB sent": round(store.sent / 1e6, 1),
            "accidents": store.accidents,
            "all epochs hold the same pixels": len(digests) == 1,
        }
        store.shutdown()
        shutil.rmtree(Path(name) / "data", ignore_errors=True)
    report("store_speed", row, options.json)


if __name__ == "__main__":
    main()
