"""The models used for prediction: a hand, the image network, the lifter."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from hifihr_core.errors import AssetError
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.hand_network import load_hand_network, network_fits_hand
from hifihr_core.lifting.lifter import Lifter, fits_hand, load_lifter
from hifihr_core.lifting.second_sight import SecondSight
from hifihr_core.models.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from hifihr_core.models.contract import ImageNetwork
from hifihr_core.models.shipped import HAND_NETWORK, IMAGE_NETWORK, LIFTER, shipped_model


@dataclass(frozen=True)
class LoadedModels:
    """All models that prediction uses, in evaluation mode.

    `network` or `lifter` may be None, but not both; `second_sight` is None without `lifter`. `network_px` is the side
    of the network's input, pixels.
    """

    hand: HandModel
    network: ImageNetwork | None
    lifter: Lifter | None
    second_sight: SecondSight | None
    network_px: int
    licences: Mapping[str, str]


def load_models(checkpoint: Path | None, *, device: torch.device) -> LoadedModels:
    """Load a checkpoint (a weight file or a run folder), or the shipped models if none is given.

    The shipped lifter and hand network are loaded only if they were trained for the hand of the checkpoint. Raises:
    AssetError if there is no model that can reconstruct hands.
    """
    path = find_checkpoint(checkpoint) if checkpoint is not None else shipped_model(IMAGE_NETWORK)
    loaded: Checkpoint | None = load_checkpoint(path, device=device) if path is not None else None
    hand = loaded.hand if loaded is not None else load_hand("anny").to(device).eval()
    lifter_path = shipped_model(LIFTER)
    fits = lifter_path is not None and fits_hand(lifter_path, hand)
    lifter = load_lifter(lifter_path, hand) if lifter_path is not None and fits else None
    if loaded is None and lifter is None:
        raise AssetError(
            "this installation has no trained model; reinstall hifihr, or give `hifihr predict` a --checkpoint from "
            "`hifihr train`"
        )
    return LoadedModels(
        hand=hand,
        network=loaded.network if loaded is not None else None,
        lifter=lifter,
        second_sight=_second_sight(hand) if lifter is not None else None,
        network_px=loaded.settings.data.image_px if loaded is not None else 224,
        licences={"hand": hand.licence, "weights": "free" if checkpoint is None else "that of the training data"},
    )


def _second_sight(hand: HandModel) -> SecondSight | None:
    path = shipped_model(HAND_NETWORK)
    if path is None or not network_fits_hand(path, hand):
        return None
    return SecondSight(load_hand_network(path, hand))
