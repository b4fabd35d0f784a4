"""Claim: `prepare freihand` packs at least 2,000 images per second and core, without JSON parsing.

A generated FreiHAND of 2,000 x 4 pictures, packed in this process (one core). A bare loop of `cv2.imdecode` over the
same pictures alternates with it, so that the ratio also holds on a busy machine.

Usage: python benchmarks/prepare_speed.py [--poses 2000] [--rounds 3] [--json FILE]
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from data_common import write_freihand
from reporting import report

from hifihr_core.shards.packing import Policy, pack_split, plan_pieces
from hifihr_core.shards.writer import write_shard
from hifihr_core.sources.contract import Request
from hifihr_core.sources.freihand import FREIHAND


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_freihand(folder / "raw", arguments.poses)
        (split,) = FREIHAND.open(Request(folder / "raw"))
        (folder / "staged").mkdir()
        started = time.process_time()
        split.stage(folder / "staged")
        json_s = time.process_time() - started
        contents = [path.read_bytes() for path in sorted((folder / "raw/training/rgb").iterdir())]
        packs, decodes = [], []
        for number in range(arguments.rounds):
            packs.append(_pack(split, folder / f"out{number}"))
            decodes.append(_decode(contents))
        index = pack_split(split, folder / "whole", policy=Policy())
    images = len(contents)
    pack_s, decode_s = min(packs), min(decodes)
    report(
        "prepare_speed",
        {
            "images": images,
            "mean_jpeg_bytes": round(float(np.mean([len(content) for content in contents]))),
            "shard_bytes": sum(shard.bytes for shard in index.shards),
            "json_s": round(json_s, 2),
            "packed_images_per_core_s": round(images / pack_s),
            "decoded_images_per_core_s": round(images / decode_s),
            "packing_over_decoding": round(decode_s / pack_s, 2),
        },
        arguments.json,
    )


def _pack(split: object, folder: Path) -> float:
    """Return the processor time of reading, checking, checksumming and writing all pictures, seconds."""
    folder.mkdir()
    started = time.process_time()
    for piece in plan_pieces(split, folder):
        write_shard(piece.path, split.read(piece.start, piece.stop), facts=split.facts, software="benchmark")
    return time.process_time() - started


def _decode(contents: list[bytes]) -> float:
    started = time.process_time()
    for content in contents:
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return time.process_time() - started


if __name__ == "__main__":
    main()
