"""Functions that all converters share: from a result to a hand as tensors, and from the converted hand to a result."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import TexturedMesh, mirror_x
from hifihr_core.geometry.projection import project_points
from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.placed_hands import PlacedHands


def hand_to_convert(result: HandResult, hand: HandModel) -> tuple[HandParameters, Float[Tensor, "1 3"]]:
    """Return the right hand's parameters and the position of its joint 9 in the (mirrored) camera frame, float64.

    Raises: ValueError if the result is not a hand of the model `hand`.
    """
    if result.hand != hand.name:
        raise ValueError(f"the hand is of the model {result.hand!r}, expected {hand.name!r}")
    named = {name: torch.from_numpy(np.asarray(value)).double()[None] for name, value in result.parameters.items()}
    return HandParameters(named["global_orient"], named["pose"], named["shape"]), named["root_cam"]


def converted_hand(
    result: HandResult, model: HandModel, hands: PlacedHands, mesh: TexturedMesh, **changes: Any
) -> HandResult:
    """Return the result in which `hands`, a right hand of `model`, and its `mesh` replace the original hand.

    Mesh and joints are mirrored for a left hand; `changes` replace other fields of the result.
    """
    named = vars(hands.parameters)
    joints_cam = (model.joints_of(hands.parameters) + hands.root_cam[:, None])[0].numpy() * mirror_axis(result.side)
    return replace(
        result,
        hand=model.name,
        mesh=mirror_x(mesh) if result.side == "left" else mesh,
        joints_cam=joints_cam,
        joints_px=project_points(joints_cam, result.K),
        parameters={name: value[0].numpy() for name, value in named.items() if value is not None}
        | {"root_cam": hands.root_cam[0].numpy()},
        licences={**result.licences, model.name: model.licence},
        before=None,
        **changes,
    )
