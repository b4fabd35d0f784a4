"""Convolutions of the landmark network that train twice as fast on a CPU.

torch spends most of a training step on gradients of depthwise convolutions. Here the gradient of the input is another
depthwise convolution, and that of the weights a compiled loop over channels. 1 x 1 convolutions are matrix products in
bfloat16, which recent processors compute several times as fast; weights and accumulated sums stay in float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hifihr_core.eyes.layers import SameConv2d
from hifihr_core.machine.kernels import kernel

_CHANNELS_AT_ONCE = 64


@contextmanager
def quick_convolutions() -> Iterator[None]:
    """Make every `SameConv2d` use these implementations while the body runs."""
    own = SameConv2d.forward
    setattr(SameConv2d, "forward", _forward)  # noqa: B010
    try:
        yield
    finally:
        setattr(SameConv2d, "forward", own)  # noqa: B010


def _forward(layer: SameConv2d, x: Tensor) -> Tensor:
    before, after = layer.before_after
    stride, weight, bias = layer.stride[0], layer.weight, layer.bias
    assert bias is not None
    if layer.groups > 1:
        return _Depthwise.apply(x, weight, bias, (stride, before, after))
    if weight.shape[-1] == 1 and stride == 1:
        return _Pointwise.apply(x, weight, bias)
    return functional.conv2d(functional.pad(x, (before, after, before, after)), weight, bias, stride)


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        rows, matrix = x.permute(0, 2, 3, 1).reshape(-1, channels).bfloat16(), weight[:, :, 0, 0].bfloat16()
        ctx.save_for_backward(rows, matrix)
        ctx.size = batch, height, width
        return _as_map(torch.addmm(bias.bfloat16(), rows, matrix.T), ctx.size)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        rows, matrix = ctx.saved_tensors
        by_row = gradients[0].permute(0, 2, 3, 1).reshape(-1, len(matrix))
        small = by_row.bfloat16()
        to_x = _as_map(small @ matrix, ctx.size) if ctx.needs_input_grad[0] else None
        return to_x, (small.T @ rows).float()[:, :, None, None], by_row.sum(dim=0)


def _as_map(rows: Tensor, size: tuple[int, int, int]) -> Tensor:
    return rows.float().unflatten(0, size).permute(0, 3, 1, 2)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, steps: tuple[int, int, int]) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight)
        ctx.steps = stride, before, after = steps
        if before == after:
            return functional.conv2d(x, weight, bias, stride, before, 1, len(weight))
        padded = functional.pad(x, (before, after, before, after))
        return functional.conv2d(padded, weight, bias, stride, 0, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight = ctx.saved_tensors
        stride, before, _ = ctx.steps
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        to_x = _gradient_of_input(gradient, weight, x.shape, ctx.steps) if ctx.needs_input_grad[0] else None
        to_weight = np.empty((len(weight), weight.shape[2], weight.shape[3]), np.float32)
        seen, pulled = (one.permute(0, 2, 3, 1).numpy() for one in (x, gradient))
        _gradient_of_weight(seen, pulled, stride, before, to_weight)
        return to_x, torch.from_numpy(to_weight)[:, None], gradient.sum(dim=(0, 2, 3)), None


def _gradient_of_input(gradient: Tensor, weight: Tensor, size: torch.Size, steps: tuple[int, int, int]) -> Tensor:
    """Return the input gradient: the output gradient, dilated by the stride, convolved with the mirrored kernel."""
    stride, before, after = steps
    size_of_kernel, spread = weight.shape[-1], gradient
    if stride > 1:
        rows, columns = (one + before + after - size_of_kernel + 1 for one in size[2:])
        spread = gradient.new_zeros(*gradient.shape[:2], rows, columns).contiguous(memory_format=torch.channels_last)
        spread[:, :, ::stride, ::stride] = gradient
    whole = functional.conv2d(spread, weight.flip(2, 3), None, 1, size_of_kernel - 1, 1, len(weight))
    return whole[:, :, before : before + size[2], before : before + size[3]]


@kernel
def _gradient_of_weight(x: np.ndarray, gradient: np.ndarray, stride: int, before: int, out: np.ndarray) -> None:
    """Fill `out` (C, k, k): each tap is the sum of input times gradient over batch and positions.

    `x` (the input) and `gradient` (of the output) are (B, H, W, C).
    """
    batch, height, width, channels = gradient.shape
    rows, columns, taps = x.shape[1], x.shape[2], out.shape[1]
    for first in range(0, channels, _CHANNELS_AT_ONCE):
        count = min(_CHANNELS_AT_ONCE, channels - first)
        sums = np.zeros((taps, taps, _CHANNELS_AT_ONCE), np.float32)
        for b in range(batch):
            for r in range(height):
                for s in range(width):
                    g = gradient[b, r, s, first : first + count]
                    for i in range(taps):
                        y = r * stride + i - before
                        if y < 0 or y >= rows:
                            continue
                        for j in range(taps):
                            z = s * stride + j - before
                            if z < 0 or z >= columns:
                                continue
                            values, tap = x[b, y, z, first : first + count], sums[i, j]
                            for c in range(count):
                                tap[c] += values[c] * g[c]
        for c in range(count):
            for i in range(taps):
                for j in range(taps):
                    out[first + c, i, j] = sums[i, j, c]
