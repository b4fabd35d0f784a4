"""How fast shards become training batches, compared with a bare loop of cv2.imdecode in as many processes.

Usage: python benchmarks/stream_speed.py [--workers 2] [--count 2048] [--rounds 5] [--json FILE]

Every ratio is taken within one round, rounds alternate, and the median is reported. "wall" compares images per second
by the clock: the stream with the given number of workers (threads), and as many processes that only decode the same
pictures, timed from their common start to the end of the last one, without process start and end. It means little on a
busy machine; 0 workers skip it. "CPU" compares the processor time of both in one thread. "bytes" is a batch as it
leaves the workers for a GPU, "floats" the batch on the CPU with pictures in float32, as training sees it. The shard
holds 224 px JPEGs (quality 95) of scikit-image's sample photos with 1-bit PNG masks and FreiHAND's labels.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from reporting import report

from hifihr_core.augmentation.draws import AugmentRanges
from hifihr_core.sample_batches import SampleBatch
from hifihr_core.samples import Sample
from hifihr_core.shards.reader import ShardReader
from hifihr_core.shards.schema import DatasetFacts
from hifihr_core.shards.writer import write_shard
from hifihr_core.stream.batch_stream import BatchStream, StreamOptions, StreamPart

IMAGE_PX = 224
BATCH = 32
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


def make_samples(count: int) -> list[Sample]:
    """Return samples that load the stream like FreiHAND's."""
    random = np.random.default_rng(0)
    photos = [getattr(skimage.data, name)() for name in PHOTOS]
    samples = []
    for i in range(count):
        photo = photos[i % len(photos)]
        side = int(random.integers(224, 300))
        top, left = (int(random.integers(0, size - side + 1)) for size in photo.shape[:2])
        picture = cv2.resize(photo[top : top + side, left : left + side], (IMAGE_PX, IMAGE_PX))
        mask = np.zeros((IMAGE_PX, IMAGE_PX), np.uint8)
        cv2.ellipse(mask, (112, 112), (50, 80), i, 0, 360, 255, -1)
        labels = {
            "joints_cam": random.normal(size=(21, 3)) * 0.05 + (0, 0, 0.6),
            "joints_px": random.uniform(0, IMAGE_PX, (21, 2)),
            "mano_vertices_cam": random.normal(size=(778, 3)) * 0.05 + (0, 0, 0.6),
            "bone_m": np.float32(0.03),
            "global_orient": random.normal(size=3),
            "pose": random.normal(size=45),
            "shape": random.normal(size=10),
        }
        samples.append(
            Sample(
                key=f"{i:08d}",
                annotation=f"{i:08d}",
                image=cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))[1].tobytes(),
                K=np.array([[480, 0, 112], [0, 480, 112], [0, 0, 1]], np.float32),
                labels={name: np.asarray(value, np.float32) for name, value in labels.items()},
                mask=cv2.imencode(".png", mask, (cv2.IMWRITE_PNG_BILEVEL, 1))[1].tobytes(),
            )
        )
    return samples


def decode_all(contents: list[np.ndarray], masks: list[np.ndarray], barrier: Barrier, spans: Queue) -> None:
    """Decode a list of pictures (and masks): the loop with which the stream is compared; report begin and end."""
    cv2.setNumThreads(0)
    barrier.wait()
    begin = time.perf_counter()
    for content in contents:
        cv2.imdecode(content, cv2.IMREAD_COLOR)
    for mask in masks:
        cv2.imdecode(mask, cv2.IMREAD_GRAYSCALE)
    spans.put((begin, time.perf_counter()))


def bare_rate(samples: list[Sample], processes: int, *, with_masks: bool) -> float:
    """Return images per second of the bare loop on `processes` processes."""
    contents = [np.frombuffer(sample.image, np.uint8) for sample in samples]
    masks = [np.frombuffer(sample.mask or b"", np.uint8) for sample in samples] if with_masks else []
    forks = multiprocessing.get_context("fork")
    barrier, spans = forks.Barrier(processes), forks.Queue()
    workers = [
        forks.Process(target=decode_all, args=(contents[p::processes], masks[p::processes], barrier, spans))
        for p in range(processes)
    ]
    for worker in workers:
        worker.start()
    begins, ends = zip(*(spans.get() for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    return len(samples) / (max(ends) - min(begins))


def stream_rate(stream: BatchStream, *, floats: bool) -> float:
    """Return images per second of one epoch of a running stream, as float batches or as they leave the workers."""
    begin, count = time.perf_counter(), 0
    for batch in stream if floats else stream.painted():
        count += len(batch.keys)
    return count / (time.perf_counter() - begin)


def cpu_ratio(stream: BatchStream, samples: list[Sample], *, with_masks: bool, floats: bool) -> float:
    """Return the processor time of decoding divided by that of the stream, both per batch in this thread.

    Batches alternate with decoding as many pictures, and the fastest tenth of each is compared: the others share caches
    with other work on the machine, which slows augmentation more than decoding.
    """
    bare, own = [], []
    batches = iter(stream) if floats else stream.painted()
    for first in range(0, len(stream) * BATCH, BATCH):
        times = [time.thread_time_ns()]
        bare_loop(samples[first : first + BATCH], with_masks)
        times.append(time.thread_time_ns())
        next(batches)
        times.append(time.thread_time_ns())
        bare.append(times[1] - times[0])
        own.append(times[2] - times[1])
    assert next(batches, None) is None  # the epoch has ended; the stream moves on to the next
    return statistics.quantiles(bare, n=10)[0] / statistics.quantiles(own, n=10)[0]


def bare_loop(samples: list[Sample], with_masks: bool) -> None:
    """Decode every picture (and mask) once."""
    for sample in samples:
        cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
        if with_masks:
            cv2.imdecode(np.frombuffer(sample.mask or b"", np.uint8), cv2.IMREAD_GRAYSCALE)


def drain(stream: BatchStream) -> None:
    """Read one epoch."""
    for _ in stream:
        pass


def make_streams(path: Path, workers: int) -> dict[str, BatchStream]:
    """Return a stream per row of the table, with filled caches."""
    streams = {}
    for name, augment in (("plain", None), ("augmented", AugmentRanges())):
        for masks, reader in (("with mask", ShardReader(path)), ("without mask", _Unmasked(path))):
            options = StreamOptions(batch_size=BATCH, image_px=IMAGE_PX, augment=augment)
            stream = BatchStream([StreamPart(reader)], options, num_workers=workers)
            drain(stream)
            streams[f"{name}, {masks}"] = stream
    return streams


def measure(path: Path, samples: list[Sample], workers: int, rounds: int) -> dict[str, float]:
    """Return the median of every rate and ratio over the rounds."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    alone = make_streams(path, 0)
    together = make_streams(path, workers) if workers else {}
    for _ in range(rounds):
        for name in alone:
            masks = "with mask" in name
            for form, floats in (("bytes", False), ("floats", True)):
                if workers:
                    bare_wall = bare_rate(samples, workers, with_masks=masks)
                    rate = stream_rate(together[name], floats=floats)
                    found.setdefault(f"{name}, {form}, wall ratio", []).append(rate / bare_wall)
                    found.setdefault(f"bare imdecode, {masks=}, images/s", []).append(bare_wall)
                ratio = cpu_ratio(alone[name], samples, with_masks=masks, floats=floats)
                found.setdefault(f"{name}, {form}, CPU ratio", []).append(ratio)
    return {name: round(statistics.median(values), 3) for name, values in sorted(found.items())}


class _Unmasked(ShardReader):
    """The same shard without masks."""

    def read(self, indices: np.ndarray) -> SampleBatch:
        batch = super().read(indices)
        return replace(batch, pictures=tuple(picture._replace(mask=None) for picture in batch.pictures))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--count", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    samples = make_samples(options.count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.h5"
        facts = DatasetFacts(
            dataset="benchmark", split="train", version="1", licence="free", joint_definition="freihand", synthetic=True
        )
        write_shard(path, samples, facts=facts, software="benchmark")
        results = measure(path, samples, options.workers, options.rounds)
    values = {
        "workers": options.workers,
        "jpeg_bytes": round(statistics.mean(len(sample.image) for sample in samples)),
        "results": results,
    }
    report("stream_speed", values, options.json)


if __name__ == "__main__":
    main()
