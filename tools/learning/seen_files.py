"""Read the output of `tools/see_hands.py`, `tools/see_closer.py` and `tools/see_photos.py`."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from learning.drawn_hands import chunk_paths
from torch import Tensor

from hifihr_core.errors import DataError
from hifihr_core.hands import HandParameters
from hifihr_core.lifting.seen_batch import SeenHands, SeenPhotos


def read_seen(seen: Sequence[Path], closer: Sequence[Path], *, most: int | None = None) -> SeenHands:
    """Return at most `most` rendered hands from pairs of folders: the eyes' output, and the maps of crops.

    Chunks without both are skipped. Raises: DataError if none is left.
    """
    chunks: list[dict[str, np.ndarray]] = []
    for first, second in zip(seen, closer, strict=True):
        for path in chunk_paths(first, "seen"):
            other = second / path.name.replace("seen", "closer")
            if other.is_file() and (most is None or sum(len(chunk["K"]) for chunk in chunks) < most):
                chunks.append({**_arrays(path), **_arrays(other)})
    take = _columns(
        chunks, most, f"{', '.join(map(str, seen))}: no chunk of tools/see_hands.py and tools/see_closer.py"
    )
    return SeenHands(
        looks_px=take("seen_joints_px"),
        depth_px=take("seen_depth_px"),
        metres=take("seen_metres"),
        body=take("body"),
        T_crop_photo=take("T_crop_photo"),
        K=take("K"),
        parameters=HandParameters(take("global_orient"), take("pose"), take("shape")),
        root_cam=take("root_cam"),
        joints_cam=take("joints_cam"),
    )


def read_photos(folder: Path) -> SeenPhotos:
    """Return the hands in photos of a folder. Raises: DataError if it holds none."""
    chunks = [_arrays(path) for path in chunk_paths(folder, "seen")]
    take = _columns(chunks, None, f"{folder}: no chunk of tools/see_photos.py")
    return SeenPhotos(**{field.name: take(field.name) for field in fields(SeenPhotos)})


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if name not in ("seen_body", "seen_features")}


def _columns(chunks: list[dict[str, np.ndarray]], most: int | None, missing: str) -> Callable[[str], Tensor]:
    if not chunks:
        raise DataError(f"{missing}, expected some; run these first")
    return lambda name: torch.from_numpy(np.concatenate([chunk.pop(name) for chunk in chunks])[:most])
