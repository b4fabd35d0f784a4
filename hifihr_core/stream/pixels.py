"""Conversion of bytes to floats in one pass, which no library offers; the loop is compiled on first use."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hifihr_core.machine.kernels import kernel
from hifihr_core.stream.batch_memory import recycled


def to_unit_floats(image: UInt8[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Return bytes as float32 in [0, 1], in the same order of axes; on the CPU in one pass, on one thread."""
    if image.device.type != "cpu":
        return image.to(torch.float32).mul_(1 / 255)
    floats = recycled(tuple(image.shape), np.float32)
    write_unit_floats(image.contiguous().numpy(), floats)
    return torch.from_numpy(floats)


def write_unit_floats(image: UInt8[np.ndarray, "*S"], out: Float[np.ndarray, "*S"]) -> None:
    """Write bytes as float32 in [0, 1] to `out`; both arrays are contiguous."""
    _scale(image.reshape(-1), out.reshape(-1))


@kernel
def _scale(source: UInt8[np.ndarray, " N"], target: Float[np.ndarray, " N"]) -> None:
    factor = np.float32(1 / 255)
    for i in range(source.size):
        target[i] = np.float32(source[i]) * factor
