"""The table of image networks; `model.geometry` names a row."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hifihr_core.config.tree import ModelSettings
from hifihr_core.hands.contract import HandModel
from hifihr_core.lookup import load_attribute, lookup
from hifihr_core.models.backbone_weights import Pretrained
from hifihr_core.models.contract import ImageNetwork


@dataclass(frozen=True)
class NetworkRow:
    """One image network: "module:function" of ``build(hand, settings, *, image_px, weights)``, and its extra outputs.

    `gives` lists the extra outputs that loss terms may require, such as "keypoints".
    """

    builder: str
    gives: frozenset[str] = frozenset()


NETWORKS: Mapping[str, NetworkRow] = MappingProxyType(
    {
        "pooled": NetworkRow("hifihr_core.models.build:build_pooled"),
        "keypoints": NetworkRow("hifihr_core.models.build:build_keypoints", frozenset({"keypoints"})),
    }
)


def network_row(settings: ModelSettings) -> NetworkRow:
    """Return the row that the setting `model.geometry` names. Raises: ConfigError for an unknown name."""
    return lookup(NETWORKS, settings.geometry, "model.geometry")


def build_network(
    settings: ModelSettings, hand: HandModel, *, image_px: int, weights: Pretrained = "none"
) -> ImageNetwork:
    """Return an untrained network for this hand, with the architecture that `settings` describe.

    `weights` are for the backbone; see `build_encoder`. Random weights come from torch's global generator. Raises:
    ConfigError for an unknown network or backbone; AssetError if weights are missing.
    """
    build = load_attribute(network_row(settings).builder)
    network: ImageNetwork = build(hand, settings, image_px=image_px, weights=weights)
    return network
