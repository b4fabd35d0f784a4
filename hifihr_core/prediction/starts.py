"""The two starts of a reconstruction: from keypoints through the lifter, or from the image through the network."""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.geometry.cameras import place_root, transform_K
from hifihr_core.hands import HandModel
from hifihr_core.models.lifter import Lifter
from hifihr_core.models.reconstructor import Reconstructor
from hifihr_core.prediction.crops import Crops
from hifihr_core.prediction.detectors import INSTALL_LINE
from hifihr_core.prediction.fitting import fit_keypoints
from hifihr_core.prediction.state import HandState, choose, default_light, with_mean_appearance

Start = Literal["auto", "image", "keypoints"]


def from_image(network: Reconstructor, hand: HandModel, crops: Crops, *, network_px: int) -> HandState:
    """Return what the image network says of each crop; the mean appearance where it estimates none.

    `network_px` is the side of the crops that the network was trained on.
    """
    resize = network_px / crops.image.shape[-1]
    image, K = crops.image, crops.K
    if resize != 1:
        image = functional.interpolate(image, size=(network_px, network_px), mode="bilinear", antialias=True)
        T_small_crop = torch.diag(K.new_tensor([resize, resize, 1.0]))
        K = transform_K(K, T_small_crop.expand_as(K))
    estimate = network(image, K)
    parameters = estimate.parameters
    if parameters.texture is None:
        parameters = with_mean_appearance(hand, parameters)
    root_cam = place_root(estimate.root_px, estimate.scale_px_per_m, K)
    return HandState(parameters, root_cam, estimate.light or default_light(root_cam))


def from_keypoints(lifter: Lifter, hand: HandModel, crops: Crops) -> HandState:
    """Return the hands lifted from the detector's keypoints and fitted to them, with the mean appearance."""
    lifted = lifter(crops.keypoints_px, crops.confidence, crops.K)
    fitted = fit_keypoints(hand, lifted, crops.keypoints_px, crops.confidence, crops.K)
    return HandState(with_mean_appearance(hand, fitted.parameters), fitted.root_cam, default_light(fitted.root_cam))


def start_hands(
    hand: HandModel,
    crops: Crops,
    *,
    network: Reconstructor | None,
    lifter: Lifter | None,
    start: Start,
    network_px: int,
) -> tuple[HandState, list[str]]:
    """Return a start for every crop, and where its geometry came from ("image" or "keypoints").

    `auto` takes keypoints where a detector gave them. Texture and light always come from the image network, where there
    is one. Raises ConfigError if `keypoints` is asked for and a hand has none, AssetError if nothing that is installed
    can reconstruct a hand.
    """
    seen = crops.confidence.amax(dim=1) > 0
    wants_keypoints = seen & (lifter is not None) & (start != "image")
    if start == "keypoints":
        _check_keypoints(seen, lifter, hand)
    if network is None and not bool(wants_keypoints.all()):
        raise AssetError(_nothing_reconstructs(start, lifter))
    state = None if network is None else from_image(network, hand, crops, network_px=network_px)
    if bool(wants_keypoints.any()) and lifter is not None:
        lifted = from_keypoints(lifter, hand, crops)
        if state is None:
            state = lifted
        else:
            same_look = replace(lifted.parameters, texture=state.parameters.texture)
            state = choose(wants_keypoints, HandState(same_look, lifted.root_cam, state.light), state)
    assert state is not None  # one of the two made it, as checked above
    return state, ["keypoints" if one else "image" for one in wants_keypoints.tolist()]


def _check_keypoints(seen: Bool[Tensor, " B"], lifter: Lifter | None, hand: HandModel) -> None:
    if lifter is None:
        raise AssetError(f"start keypoints: no lifter for the hand {hand.name} is installed; use --start image")
    if not bool(seen.all()):
        missing = int((~seen).sum())
        raise ConfigError(
            f"start keypoints: {missing} of {len(seen)} hands have no keypoints; use --detector mediapipe, "
            "or give them in --boxes"
        )


def _nothing_reconstructs(start: Start, lifter: Lifter | None) -> str:
    if start == "image" or lifter is None:
        return "start image: no image network is installed; give --checkpoint FILE of a training run"
    return (
        "a hand without keypoints needs an image network, and none is installed; find keypoints with a detector "
        f"({INSTALL_LINE}), give them in --boxes, or give --checkpoint FILE of a training run"
    )
