"""The eyes' landmark network as the backbone of an image network: it was trained on photos of hands."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.eyes.networks import LandmarkNetwork

#: The last block of each stage, its channels and its stride; the stem, before the blocks, is a separate stage.
_STAGES = ((2, 24, 4), (4, 40, 8), (10, 112, 16), (14, 192, 32))
_STEM_DIM, _HEAD_DIM = 16, 1152


class EyesBackbone(nn.Module):
    """The body of the eyes' landmark network, with the part of timm's interface that `Encoder` uses.

    It accepts pictures of any size; its weights were trained at 224 px, on upright hands.
    """

    num_features = _HEAD_DIM
    head_hidden_size = _HEAD_DIM
    pretrained_cfg: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        whole = LandmarkNetwork()
        self.stem, self.blocks, self.top = whole.stem, whole.blocks, whole.top
        rows = ((0, _STEM_DIM, 2), *_STAGES)
        self.feature_info = [{"num_chs": channels, "reduction": stride} for _, channels, stride in rows]

    def forward_intermediates(
        self, image: Float[Tensor, "B 3 H W"], *, indices: Sequence[int], output_fmt: str = "NCHW"
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the last map, and the map of `feature_info[index]` for each of `indices`."""
        last = self.stem(image)
        found, first = [last], 0
        for end, _, _ in _STAGES:
            for block in list(self.blocks)[first:end]:
                last = block(last)
            found.append(last)
            first = end
        return last, [found[index] for index in indices]

    def forward_head(self, x: Float[Tensor, "B C h w"], *, pre_logits: bool = True) -> Float[Tensor, "B N"]:
        """Return the pooled features."""
        return self.top(x)
