"""MobileNetV4-Conv-Small, the backbone of the shipped network, without timm, which is slow to import.

Source: Qin et al., "MobileNetV4: universal models for the mobile ecosystem", ECCV 2024, table 11. Tensor names and
shapes match timm's `mobilenetv4_conv_small` without a classifier, so weight files fit both.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn


class Fused(NamedTuple):
    """A convolution with batch normalisation and ReLU: kernel, stride, output channels."""

    kernel: int
    stride: int
    width: int


class Inverted(NamedTuple):
    """A universal inverted bottleneck: first and middle depthwise kernels (0: none), stride, expansion, channels."""

    first: int
    middle: int
    stride: int
    expansion: int
    width: int


STEM = Fused(3, 2, 32)
STAGES: Sequence[Sequence[Fused | Inverted]] = (
    (Fused(3, 2, 32), Fused(1, 1, 32)),
    (Fused(3, 2, 96), Fused(1, 1, 64)),
    (Inverted(5, 5, 2, 3, 96), *[Inverted(0, 3, 1, 2, 96)] * 4, Inverted(3, 0, 1, 4, 96)),
    (
        *(Inverted(3, 3, 2, 6, 128), Inverted(5, 5, 1, 4, 128), Inverted(0, 5, 1, 4, 128)),
        *(Inverted(0, 5, 1, 3, 128), Inverted(0, 3, 1, 4, 128), Inverted(0, 3, 1, 4, 128)),
    ),
    (Fused(1, 1, 960),),
)
HEAD_DIM = 1280


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that preserves the size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, (stride - 1 + kernel - 1) // 2, groups=groups, bias=False)


class ConvNorm(nn.Module):
    """A convolution, batch normalisation and, unless `linear`, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, linear: bool = False
    ):
        super().__init__()
        self.conv = convolution(inputs, outputs, kernel, stride, groups)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.Identity() if linear else nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return the output map."""
        return self.act(self.bn(self.conv(x)))


class FusedBlock(nn.Module):
    """The block of a `Fused` row in `STAGES`."""

    def __init__(self, inputs: int, row: Fused) -> None:
        super().__init__()
        self.conv = convolution(inputs, row.width, row.kernel, row.stride)
        self.bn1 = nn.BatchNorm2d(row.width)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return the output map."""
        return self.act(self.bn1(self.conv(x)))


class InvertedBlock(nn.Module):
    """The block of an `Inverted` row in `STAGES`; the middle kernel, or else the first one, has the stride."""

    def __init__(self, inputs: int, row: Inverted) -> None:
        super().__init__()
        inner = inputs * row.expansion
        first_stride = 1 if row.middle else row.stride
        self.dw_start = (
            ConvNorm(inputs, inputs, row.first, first_stride, inputs, linear=True) if row.first else nn.Identity()
        )
        self.pw_exp = ConvNorm(inputs, inner, 1)
        self.dw_mid = ConvNorm(inner, inner, row.middle, row.stride, inner) if row.middle else nn.Identity()
        self.pw_proj = ConvNorm(inner, row.width, 1, linear=True)
        self.has_skip = row.stride == 1 and inputs == row.width

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return the output map; the input is added if both have the same shape."""
        out = self.pw_proj(self.dw_mid(self.pw_exp(self.dw_start(x))))
        return out + x if self.has_skip else out


class MobileNetV4(nn.Module):
    """MobileNetV4-Conv-Small without its classifier, with the part of timm's interface that `Encoder` uses."""

    num_features = STAGES[-1][-1].width
    head_hidden_size = HEAD_DIM
    pretrained_cfg: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = convolution(3, STEM.width, STEM.kernel, STEM.stride)
        self.bn1 = nn.BatchNorm2d(STEM.width)
        self.act1 = nn.ReLU(inplace=True)
        stages, width, reduction = [], STEM.width, STEM.stride
        maps = {reduction: (0, width)}  # the last map of every stride, with the index of its stage
        for number, rows in enumerate(STAGES, start=1):
            blocks: list[nn.Module] = []
            for row in rows:
                blocks.append(FusedBlock(width, row) if isinstance(row, Fused) else InvertedBlock(width, row))
                width, reduction = row.width, reduction * row.stride
            stages.append(nn.Sequential(*blocks))
            maps[reduction] = (number, width)
        self.blocks = nn.Sequential(*stages)
        self.conv_head = convolution(width, HEAD_DIM, 1)
        self.norm_head = nn.BatchNorm2d(HEAD_DIM)
        self.feature_info = [
            {"stage": stage, "num_chs": channels, "reduction": stride} for stride, (stage, channels) in maps.items()
        ]
        self.apply(_start)

    def forward_intermediates(
        self, x: Float[Tensor, "B 3 H W"], *, indices: Sequence[int], output_fmt: str = "NCHW"
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the last map, and the map of `feature_info[index]` for each of `indices`."""
        found: dict[int, Tensor] = {}
        x = self.act1(self.bn1(self.conv_stem(x)))
        found[0] = x
        for number, stage in enumerate(self.blocks, start=1):
            x = stage(x)
            found[number] = x
        return x, [found[self.feature_info[index]["stage"]] for index in indices]

    def forward_head(self, x: Float[Tensor, "B C h w"], *, pre_logits: bool = True) -> Float[Tensor, "B N"]:
        """Return the pooled features."""
        pooled = nn.functional.adaptive_avg_pool2d(x, 1)
        return self.norm_head(self.conv_head(pooled)).relu().flatten(1)


def _start(module: nn.Module) -> None:
    """Initialise weights so that the variance of gradients is preserved, as timm does for these networks."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=sqrt(2 / fan_out))
