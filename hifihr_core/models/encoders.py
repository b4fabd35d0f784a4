"""Image encoders: any timm backbone, its pooled features, and a shallow map for the light."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.models.backbone_weights import EYES_BACKBONE, BackboneWeights, Pretrained, find_backbone_weights
from hifihr_core.models.eyes_backbone import EyesBackbone
from hifihr_core.models.mobilenet_v4 import MobileNetV4

#: The shallow tap is the first feature map of at least this stride; in EfficientNet-B3 it is 32 x 56 x 56 at 224 px.
LOW_STRIDE = 4

#: Smallest stride in the pyramid for keypoints, which has the last map of each stride.
PYRAMID_STRIDE = 8

#: Backbones that do not need timm: one rebuilt with the same tensor names and shapes, and the eyes' landmark network.
OWN: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {"mobilenetv4_conv_small": MobileNetV4, EYES_BACKBONE: EyesBackbone}
)

#: ImageNet channel statistics, for backbones whose own are unknown.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Encoder(nn.Module):
    """A timm backbone that takes RGB in [0, 1] and returns pooled features and a shallow feature map.

    `mean` and `std` are the channel statistics that the backbone was trained with; (0, 1) leaves the image unchanged.
    `origin` describes the source of its weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Any,
        *,
        low_index: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        origin: str = "none, random weights",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.origin = origin
        self.low_index = low_index
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        info = backbone.feature_info
        info = info if isinstance(info, list) else info.info
        self.low_dim = int(info[low_index]["num_chs"])
        self.pyramid_indices = pyramid_indices([int(level["reduction"]) for level in info])
        self.pyramid_dims = [int(info[index]["num_chs"]) for index in self.pyramid_indices]
        self.feature_dim = int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B C h w"]]:
        """Return (pooled features, shallow map) of images in [0, 1]."""
        features, maps = self._run(image, [self.low_index])
        return features, maps[0]

    def with_pyramid(
        self, image: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B C h w"], list[Tensor]]:
        """Return (pooled features, shallow map, pyramid from fine to coarse) of images in [0, 1]."""
        wanted = sorted({self.low_index, *self.pyramid_indices})
        features, maps = self._run(image, wanted)
        found = dict(zip(wanted, maps, strict=True))
        return features, found[self.low_index], [found[index] for index in self.pyramid_indices]

    def _run(self, image: Tensor, indices: list[int]) -> tuple[Tensor, list[Tensor]]:
        backbone: Any = self.backbone
        normalised = (image - self.mean) / self.std
        last, maps = backbone.forward_intermediates(normalised, indices=indices, output_fmt="NCHW")
        return backbone.forward_head(last, pre_logits=True), maps


def pyramid_indices(strides: Sequence[int]) -> list[int]:
    """Return the index of the last map of every stride from `PYRAMID_STRIDE` up, or of the very last if there is none.

    Indices ascend, so maps are ordered from fine to coarse.
    """
    last = {stride: index for index, stride in enumerate(strides) if stride >= PYRAMID_STRIDE}
    return sorted(last.values()) or [len(strides) - 1]


def build_encoder(name: str, *, weights: Pretrained = "none", normalize: bool = True, image_px: int = 224) -> Encoder:
    """Return an encoder around the backbone `name`, one of timm's or "eyes".

    `weights` is the setting `model.weights` ("auto", "hub", "shipped", "none" or a file), or what
    `find_backbone_weights` found for it. `normalize` applies the statistics the backbone was trained with.
    Raises: ConfigError for an unknown or unsuitable backbone, AssetError if its weights are not available.
    """
    if name not in OWN:
        _check_known(name)  # before the search for weights, whose errors would hide a misspelt name
    found = weights if isinstance(weights, BackboneWeights) else find_backbone_weights(name, str(weights))
    own = OWN.get(name) if found.hub is None else None
    backbone = own() if own else _from_timm(found.hub or name, pretrained=found.hub is not None, image_px=image_px)
    if found.state is not None:
        _load_state(backbone, found.state, name, found.origin)
    info = backbone.feature_info
    strides = [int(level["reduction"]) for level in (info if isinstance(info, list) else info.info)]
    low_index = next((index for index, stride in enumerate(strides) if stride >= LOW_STRIDE), 0)
    config: Mapping[str, Any] = backbone.pretrained_cfg or {}
    mean, std = config.get("mean", IMAGENET[0]), config.get("std", IMAGENET[1])
    if not normalize:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Encoder(backbone, low_index=low_index, mean=tuple(mean), std=tuple(std), origin=found.origin)


def _check_known(name: str) -> None:
    """Raise ConfigError if timm has no model called `name`."""
    import timm  # takes longer to import than a prediction

    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('_')[0].rstrip('0123456789')}*")[:5] or ["tf_efficientnet_b3"]
        raise ConfigError(f"model.backbone: timm has no model {name!r}, expected one such as {', '.join(close)}")


def _from_timm(name: str, *, pretrained: bool, image_px: int) -> Any:
    """Return timm's model without its classifier. Raises: ConfigError if it has no feature maps."""
    backbone = _create(name, pretrained=pretrained, image_px=image_px)
    if not hasattr(backbone, "forward_intermediates"):
        raise ConfigError(
            f"model.backbone: {name} has no feature maps; choose one that has them, such as tf_efficientnet_b3"
        )
    return backbone


def _create(name: str, *, pretrained: bool, image_px: int) -> Any:
    """Return timm's model without its classifier, built for `image_px` if its input size is fixed.

    Raises: ConfigError if it cannot be built, AssetError if its weights cannot be downloaded.
    """
    import timm

    options: dict[str, Any] = {}
    try:
        config = timm.get_pretrained_cfg(name)
        if config is not None and config.fixed_input_size and config.input_size[-1] != image_px:
            options["img_size"] = image_px
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise ConfigError(f"model.backbone: {name} cannot be built: {error}; choose another backbone") from error
        raise AssetError(
            f"weights of {name}: the download from the model hub failed ({type(error).__name__}); "
            "try again, give a file with --set model.weights=FILE, or start from random weights with --set "
            "model.weights=none"
        ) from error


def _load_state(backbone: nn.Module, state: Mapping[str, Tensor], name: str, origin: str) -> None:
    """Load a state dict into a backbone; tensors that the backbone does not have, such as a classifier, are ignored.

    Raises: AssetError if a tensor is missing or of the wrong size.
    """
    known = backbone.state_dict()
    missing = [key for key in known if key not in state]
    wrong = [key for key in known if key in state and state[key].shape != known[key].shape]
    if missing or wrong:
        first = (missing + wrong)[0]
        raise AssetError(
            f"{origin}: tensors of {name} that are missing or of the wrong size: {len(missing) + len(wrong)}, first "
            f"{first}; expected a state dict of that backbone"
        )
    backbone.load_state_dict({key: state[key] for key in known})
