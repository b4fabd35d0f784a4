"""Reading what `tools/see_hands.py` and `tools/see_photos.py` wrote."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from learning.drawn_hands import chunk_paths
from torch import Tensor

from hifihr_core.errors import DataError
from hifihr_core.hands import HandParameters
from hifihr_core.lifting.seen_batch import SeenHands, SeenPhotos


def read_seen(folder: Path, *, most: int | None = None) -> SeenHands:
    """Return the rendered hands of a folder, at most `most` of them. Raises: DataError if it holds none."""
    take = _columns(folder, most)
    return SeenHands(
        looks_px=take("seen_joints_px"),
        depth_px=take("seen_depth_px"),
        metres=take("seen_metres"),
        body=take("seen_body"),
        T_crop_photo=take("seen_T_crop_photo"),
        K=take("K"),
        parameters=HandParameters(take("global_orient"), take("pose"), take("shape")),
        root_cam=take("root_cam"),
        joints_cam=take("joints_cam"),
    )


def read_photos(folder: Path, *, most: int | None = None) -> SeenPhotos:
    """Return the hands in photos of a folder. Raises: DataError if it holds none."""
    take = _columns(folder, most)
    return SeenPhotos(body=take("body"), joints_px=take("crop_px"), weight=take("weight"))


def _columns(folder: Path, most: int | None) -> Callable[[str], Tensor]:
    chunks: list[dict[str, np.ndarray]] = []
    for path in chunk_paths(folder, "seen"):
        if most is not None and sum(len(next(iter(chunk.values()))) for chunk in chunks) >= most:
            break
        with np.load(path, allow_pickle=False) as archive:
            chunks.append(dict(archive))
    if not chunks:
        raise DataError(f"{folder}: no *.seen.npz, expected chunks of tools/see_hands.py; run that first")
    return lambda name: torch.from_numpy(np.concatenate([chunk.pop(name) for chunk in chunks])[:most])
