"""Weights and pictures that any machine can reproduce, so that golden files contain only outputs.

The golden files were recorded with the release of November 2026 (3053dc0). `run.json` and `t7.json` contain the
metadata and the tensor shapes of a weight file of that release: of a run of two steps (`hifihr train --data synth --set
model.backbone=mobilenetv3_small_050 --set model.weights=none --set data.image_px=64 --set train.batch_size=2 --set
train.max_steps=2`), and of a converted checkpoint of the authors. Their numbers come from `fill`.
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).with_name("golden")

#: Joints of a rendered picture's cells are averaged over squares of this many pixels.
CELL_PX = 16


def fill(shapes: dict[str, list]) -> dict[str, Tensor]:
    """Return a tensor for every ``name -> [dtype, *shape]``; its numbers depend only on its name."""
    return {name: _tensor(name, kind, tuple(shape)) for name, (kind, *shape) in shapes.items()}


def _tensor(name: str, kind: str, shape: tuple[int, ...]) -> Tensor:
    if not kind.startswith("float"):
        return torch.full(shape, 7, dtype=getattr(torch, kind))
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    numbers = rng.random(shape) - 0.5
    if name.endswith("running_var"):
        numbers = 1.0 + numbers
    elif len(shape) > 1:
        numbers = numbers * math.sqrt(12 / math.prod(shape[1:]))
    elif name.endswith("weight"):
        numbers = 1.0 + 0.2 * numbers
    else:
        numbers = 0.2 * numbers
    return torch.from_numpy(np.asarray(numbers, dtype=np.float32))


def shapes_of(state: dict[str, Tensor]) -> dict[str, list]:
    """Return ``name -> [dtype, *shape]``, the input of `fill`."""
    return {name: [str(value.dtype).removeprefix("torch."), *value.shape] for name, value in state.items()}


def pictures(image_px: int) -> tuple[Tensor, Tensor]:
    """Return two square pictures of soft blobs, and their cameras."""
    y, x = np.meshgrid(*2 * [(np.arange(image_px) + 0.5) / image_px], indexing="ij")
    image = np.stack(
        [[0.5 + 0.45 * np.sin((3 + c + b) * x + (5 - c) * y * (1 + b) + c) for c in range(3)] for b in range(2)]
    )
    K = np.array([[1.5, 0, 0.5], [0, 1.5, 0.5], [0, 0, 1]]) * np.array([[image_px], [image_px], [1]])
    cameras = np.stack([K, K * np.array([[1.2], [1.2], [1]])])
    return torch.from_numpy(image).float(), torch.from_numpy(cameras).float()


@torch.no_grad()
def outputs(checkpoint, place_estimate, build_renderer) -> dict[str, np.ndarray]:
    """Return a checkpoint's output for `pictures`, as arrays."""
    settings = checkpoint.settings
    image, K = pictures(settings.data.image_px)
    renderer = build_renderer(checkpoint.hand, settings.render, settings.data.image_px)
    prediction = place_estimate(checkpoint.network(image, K), K, checkpoint.hand, renderer=renderer)
    estimate = prediction.estimate
    named = {name: value for name, value in vars(estimate.parameters).items() if value is not None}
    named |= {f"light_{name}": value for name, value in vars(estimate.light).items() if value is not None}
    named |= {name: getattr(estimate, name) for name in ("root_px", "scale_px_per_m")}
    named |= {name: getattr(prediction, name) for name in ("root_cam", "joints_cam", "joints_px")}
    named["cells"] = torch.nn.functional.avg_pool2d(prediction.rendered.image, CELL_PX)
    return {name: value.numpy() for name, value in named.items()}


def described(name: str) -> tuple[dict[str, str], dict[str, list]]:
    """Return (metadata, shapes) of a golden weight file."""
    document = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return document["facts"], document["shapes"]
