"""Chunks of rendered pictures on disk: JPEG bytes with the ground truth of each hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hifihr_core.files import write_atomically
from hifihr_core.records import Batch
from hifihr_core.synthesis.as_samples import encode
from hifihr_core.synthesis.generator import Synthesizer

#: The labels that are stored for a picture, in addition to its camera K and JPEG.
KEPT = ("joints_cam", "joints_px", "joints_visible", "root_cam", "global_orient", "pose", "shape", "texture", "light")


@dataclass(frozen=True)
class DrawnHands:
    """N pictures as JPEG, and `truth`, which maps names to arrays with N rows."""

    pictures: list[bytes]
    truth: dict[str, np.ndarray]

    def picture(self, row: int) -> np.ndarray:
        """Return one picture as (H, W, 3) uint8, RGB."""
        pixels = cv2.imdecode(np.frombuffer(self.pictures[row], np.uint8), cv2.IMREAD_COLOR)
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def draw_chunk(synthesizer: Synthesizer, first_batch: int, batches: int, batch_size: int) -> DrawnHands:
    """Render some batches of a generator."""
    pictures, rows = [], []
    for number in range(first_batch, first_batch + batches):
        batch = synthesizer.make(number, batch_size)
        pictures += [encode(batch, row, synthesizer) for row in range(batch_size)]
        rows.append(_truth(batch))
    return DrawnHands(pictures, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]})


def _truth(batch: Batch) -> dict[str, np.ndarray]:
    kept = {name: batch.labels[name].cpu().numpy().astype(np.float32) for name in KEPT}
    return {**kept, "K": batch.K.cpu().numpy().astype(np.float32)}


def write_drawn(path: Path, drawn: DrawnHands) -> None:
    """Write a chunk atomically."""
    sizes = np.array([len(picture) for picture in drawn.pictures])
    content = np.frombuffer(b"".join(drawn.pictures), np.uint8)
    with write_atomically(path) as part:
        np.savez(part, sizes=sizes, content=content, **drawn.truth)


def read_drawn(path: Path) -> DrawnHands:
    """Read what `write_drawn` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    ends = np.cumsum(arrays.pop("sizes"))
    content = arrays.pop("content").tobytes()
    return DrawnHands([content[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)], arrays)


def chunk_paths(folder: Path, suffix: str) -> Iterator[Path]:
    """Yield the chunks of a folder in order."""
    yield from sorted(folder.glob(f"*.{suffix}.npz"))
