"""The hands of one photo while they are worked on: right-looking, in the camera frame of their crops."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.hands import Hand, HandModel, HandParameters
from hifihr_core.prediction.crops import Crops
from hifihr_core.records import Light
from hifihr_core.rendering import Rendered, Renderer


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


def draw(hand: HandModel, renderer: Renderer, state: HandState, crops: Crops) -> tuple[Hand, Rendered]:
    """Return the posed hands, in the root frame, and their pictures in the crops; `renderer` has the crops' size."""
    posed = hand(state.parameters)
    assert posed.appearance is not None
    return posed, renderer(posed.vertices + state.root_cam[:, None], crops.K, posed.appearance, state.light)


def map_states(change: Callable[..., Tensor], *states: HandState) -> HandState:
    """Return the state whose every tensor is `change` of the same tensors of `states`."""
    parameters, lights = [one.parameters for one in states], [one.light for one in states]
    return HandState(
        HandParameters(
            global_orient=change(*(one.global_orient for one in parameters)),
            pose=change(*(one.pose for one in parameters)),
            shape=change(*(one.shape for one in parameters)),
            texture=change(*(one.texture for one in parameters)),
        ),
        root_cam=change(*(one.root_cam for one in states)),
        light=Light(
            ambient=change(*(one.ambient for one in lights)),
            color=change(*(one.color for one in lights)),
            direction=change(*(one.direction for one in lights)),
            sky=None if any(one.sky is None for one in lights) else change(*(one.sky for one in lights)),
        ),
    )


def choose(first: Bool[Tensor, " B"], a: HandState, b: HandState) -> HandState:
    """Return, hand by hand, that of `a` where `first`, else that of `b`."""
    return map_states(lambda x, y: torch.where(first.reshape(-1, *[1] * (x.ndim - 1)), x, y), a, b)
