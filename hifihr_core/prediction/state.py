"""The hands of one photo while they are worked on: right-looking, in the camera frame of their crops."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.records import Light


@dataclass(frozen=True)
class HandState:
    """Everything that describes a batch of hands before their cameras; `parameters.texture` is set."""

    parameters: HandParameters
    root_cam: Float[Tensor, "B 3"]
    light: Light


def default_light(like: Float[Tensor, "B ..."]) -> Light:
    """Return a soft light from above the camera, as most rooms have it."""
    batch = like.shape[0]
    direction = torch.nn.functional.normalize(like.new_tensor([0.0, -0.5, -1.0]), dim=0)
    return Light(
        ambient=like.new_full((batch, 3), 0.55),
        color=like.new_full((batch, 3), 0.5),
        direction=direction.expand(batch, 3),
    )


def with_mean_appearance(hand: HandModel, parameters: HandParameters) -> HandParameters:
    """Return the parameters with the mean texture."""
    texture = parameters.pose.new_zeros(len(parameters.pose), hand.texture_dim)
    return HandParameters(parameters.global_orient, parameters.pose, parameters.shape, texture)


def choose(first: Bool[Tensor, " B"], a: HandState, b: HandState) -> HandState:
    """Return, hand by hand, that of `a` where `first`, else that of `b`."""

    def pick(x: Tensor | None, y: Tensor | None) -> Tensor | None:
        return None if x is None or y is None else torch.where(first[:, None], x, y)

    def merge(x: HandParameters | Light, y: HandParameters | Light) -> dict[str, Tensor | None]:
        return {one.name: pick(getattr(x, one.name), getattr(y, one.name)) for one in fields(x)}

    return HandState(
        HandParameters(**merge(a.parameters, b.parameters)),
        torch.where(first[:, None], a.root_cam, b.root_cam),
        Light(**merge(a.light, b.light)),
    )
