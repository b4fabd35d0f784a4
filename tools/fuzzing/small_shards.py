"""A small valid shard folder for the readers of folders and of stores."""

from pathlib import Path

import cv2
import numpy as np

from hifihr_core.samples import Sample
from hifihr_core.shards.schema import DatasetFacts, ShardIndex
from hifihr_core.shards.writer import write_shard

_FACTS = DatasetFacts(dataset="toy", split="train", version="1", licence="free", joint_definition="freihand")


def picture(side: int = 32, extension: str = ".jpg") -> bytes:
    """Return an encoded picture of coloured clouds."""
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)
    return cv2.imencode(extension, cv2.GaussianBlur(pixels, (0, 0), 2))[1].tobytes()


def _samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    K = np.array([[40, 0, 16], [0, 40, 16], [0, 0, 1]], np.float32)
    labels = {"joints_cam": (21, 3), "joints_px": (21, 2), "keypoints_px": (21, 2), "keypoints_confidence": (21,)}
    labels |= {"pose": (45,), "bone_m": ()}
    mask = cv2.imencode(".png", np.full((32, 32), 255, np.uint8))[1].tobytes()
    return [
        Sample(
            key=f"s{n}",
            annotation=f"s{n}",
            image=picture(extension=(".jpg", ".png", ".webp", ".bmp")[n]),
            K=K,
            labels={name: np.asarray(rng.normal(size=shape) + 10, np.float32) for name, shape in labels.items()},
            mask=mask if n % 2 else None,
        )
        for n in range(4)
    ]


def small_shard(folder: Path) -> Path:
    """Write a shard of four samples and its index; return the shard."""
    shard, _ = write_shard(folder / "train-00000.h5", _samples(), facts=_FACTS, software="fuzz")
    index = ShardIndex(software="fuzz", facts=_FACTS, plan={}, samples=4, annotations=4, labels={}, shards=(shard,))
    (folder / "index.json").write_text(index.dump())
    return folder / "train-00000.h5"
