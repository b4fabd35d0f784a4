"""Claim: reading a random sample from a shard and decoding its picture takes less than 1.2 times the decoding alone.

A shard folder of generated FreiHAND pictures: the same pictures in the same random order, alternately from memory (only
decoding) and from the shards with all labels (reading and decoding). Files are in the disk cache.

Usage: python benchmarks/shard_access.py [--poses 2000] [--rounds 5] [--json FILE]
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from data_common import write_freihand
from reporting import report

from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.sources.contract import Request
from hifihr_core.sources.freihand import FREIHAND


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        write_freihand(Path(name) / "raw", arguments.poses)
        (split,) = FREIHAND.open(Request(Path(name) / "raw"))
        pack_split(split, Path(name) / "out", policy=Policy(shard_bytes=32 << 20))
        shards = ShardSet(Path(name) / "out")
        order = np.random.default_rng(0).permutation(len(shards))[:4000].tolist()
        contents = {position: shards[position].image for position in order}
        alone, both = [], []
        for _ in range(arguments.rounds):
            started = time.process_time()
            for position in order:
                _decode(contents[position])
            alone.append(time.process_time() - started)
            started = time.process_time()
            for position in order:
                _decode(shards[position].image)
            both.append(time.process_time() - started)
    report(
        "shard_access",
        {
            "samples": len(order),
            "shards": len(shards.readers),
            "decode_us": round(min(alone) / len(order) * 1e6, 1),
            "read_and_decode_us": round(min(both) / len(order) * 1e6, 1),
            "ratio": round(min(both) / min(alone), 3),
        },
        arguments.json,
    )


def _decode(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


if __name__ == "__main__":
    main()
