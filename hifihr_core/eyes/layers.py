"""The layers of the eyes' two networks; `onnx_graph` supports the same ones."""

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

#: A tensor, or its placeholder while `onnx_graph` traces a network.
Traced = Tensor | fx.Proxy


class SameConv2d(nn.Conv2d):
    """A convolution whose output has ``ceil(size / stride)`` rows and columns.

    With stride 2 and an even size, the padding is one pixel wider below and to the right than above and to the left, as
    in TensorFlow.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, depthwise: bool = False) -> None:
        super().__init__(c_in, c_out, kernel, stride=stride, groups=c_in if depthwise else 1)

    @property
    def before_after(self) -> tuple[int, int]:
        """The number of rows of zeros above and below an input of even size; the same for columns left and right."""
        total = self.kernel_size[0] - self.stride[0]
        return total // 2, total - total // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of (B, C, H, W)."""
        before, after = self.before_after
        return super().forward(functional.pad(x, (before, after, before, after)))


class PadChannels(nn.Module):
    """Appends `extra` channels of zeros."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C + extra, H, W)."""
        return functional.pad(x, (0, 0, 0, 0, 0, self.extra))


class PerAnchor(nn.Module):
    """Reshapes a map to one row of values per anchor, cell by cell.

    The channels of the map are the values of anchor 0, then those of anchor 1, and so on.
    """

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, rows * columns * anchors, values) from (B, anchors * values, rows, columns)."""
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.values)


class InvertedResidual(nn.Module):
    """Adds channels, filters each of them, and reduces their number again (MobileNetV2, arXiv:1801.04381).

    If input and output have the same shape, the input is added to the result.
    """

    def __init__(self, c_in: int, width: int, c_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.widen, self.filter = widen(c_in, width), channelwise(width, kernel, stride)
        self.narrow = SameConv2d(width, c_out, 1)
        self.adds = stride == 1 and c_in == c_out

    def forward(self, x: Traced) -> Traced:
        """Return (B, c_out, ceil(H / stride), ceil(W / stride))."""
        y = self.narrow(self.filter(self.widen(x)))
        return y + x if self.adds else y


def widen(c_in: int, c_out: int) -> nn.Sequential:
    """Return a 1 x 1 convolution with ReLU6."""
    return nn.Sequential(SameConv2d(c_in, c_out, 1), nn.ReLU6())


def channelwise(channels: int, kernel: int, stride: int) -> nn.Sequential:
    """Return a depthwise convolution with ReLU6."""
    return nn.Sequential(SameConv2d(channels, channels, kernel, stride=stride, depthwise=True), nn.ReLU6())


class BlazeBlock(nn.Module):
    """A 5 x 5 depthwise and a 1 x 1 convolution, plus a shortcut, then PReLU (BlazeFace, arXiv:1907.05047).

    The shortcut is the input; with stride 2 it is max-pooled, and if it has too few channels, zeros are appended.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.filter = SameConv2d(c_in, c_in, 5, stride=stride, depthwise=True)
        self.mix = SameConv2d(c_in, c_out, 1)
        pool = [nn.MaxPool2d(2)] if stride == 2 else []
        extra = [PadChannels(c_out - c_in)] if c_out > c_in else []
        self.shortcut = nn.Sequential(*pool, *extra)
        self.bend = nn.PReLU(c_out)

    def forward(self, x: Traced) -> Traced:
        """Return (B, c_out, ceil(H / stride), ceil(W / stride))."""
        return self.bend(self.shortcut(x) + self.mix(self.filter(x)))


class Finer(nn.Module):
    """Upsamples a coarse map by a factor of two, and adds the finer map from which the coarse one was computed."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.mix = SameConv2d(c_in, c_out, 1)
        self.bend = nn.PReLU(c_out)

    def forward(self, coarse: Traced, fine: Traced) -> Traced:
        """Return a map of the size of `fine`."""
        return fine + self.bend(self.mix(self.larger(coarse)))


def rows(*parts: Traced) -> Traced:
    """Concatenate the anchors of several maps, each (B, anchors, values)."""
    return torch.cat(parts, dim=1)  # type: ignore[arg-type]
