"""Records of hands in front of a camera, and functions that pose, place, project and render them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.hands.contract import Hand, HandModel, HandParameters
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Rendered, Renderer, SelfShade

#: Minimum depth for the projection of a joint: if the root is too near, some joints are behind the camera.
NEAR_M = 0.01


@dataclass(frozen=True)
class PlacedHands:
    """Right hands in the camera frame: parameters, with the global rotation in that frame, and root joints, metres."""

    parameters: HandParameters
    root_cam: Float[Tensor, "B 3"]

    def __len__(self) -> int:
        """Return the number of hands."""
        return len(self.root_cam)


@dataclass(frozen=True)
class LitHands(PlacedHands):
    """Placed hands with the texture and light that rendering needs; `parameters.texture` must be set.

    Raises: ValueError if there is no texture.
    """

    light: Light

    def __post_init__(self) -> None:
        if self.parameters.texture is None:
            raise ValueError(
                "parameters.texture is None, expected texture coefficients; `mean_texture` adds the mean ones"
            )

    @property
    def texture(self) -> Float[Tensor, "B X"]:
        """The texture coefficients, which are never None here."""
        assert self.parameters.texture is not None  # checked when the record was built
        return self.parameters.texture


@dataclass(frozen=True)
class PosedHands:
    """The surface and the joints of placed hands.

    `hand` is in the root frame, `joints_cam` and `verts_cam` are in the camera frame, all in metres. `joints_px` are
    pixels of the image that K belongs to; a joint nearer than `NEAR_M` is projected as if at that depth.
    """

    hand: Hand
    root_cam: Float[Tensor, "B 3"]
    joints_cam: Float[Tensor, "B 21 3"]
    verts_cam: Float[Tensor, "B V 3"]
    joints_px: Float[Tensor, "B 21 2"]


@dataclass(frozen=True)
class DrawnHands:
    """Posed hands with their appearance and their rendered picture."""

    posed: PosedHands
    appearance: Appearance
    rendered: Rendered


def pose_hands(model: HandModel, hands: PlacedHands, K: Float[Tensor, "B 3 3"]) -> PosedHands:
    """Pose hands, place them and project their joints; `K` is the camera of the image.

    Gradients reach all tensors in `hands`.
    """
    return place_hands(model(hands.parameters), hands.root_cam, K)


def place_hands(hand: Hand, root_cam: Float[Tensor, "B 3"], K: Float[Tensor, "B 3 3"]) -> PosedHands:
    """Place posed hands with their root joint at `root_cam`, metres, and project their joints."""
    joints_cam = hand.joints + root_cam[:, None]
    return PosedHands(
        hand=hand,
        root_cam=root_cam,
        joints_cam=joints_cam,
        verts_cam=hand.vertices + root_cam[:, None],
        joints_px=project(in_front(joints_cam), K),
    )


def draw_hands(
    model: HandModel,
    renderer: Renderer,
    hands: LitHands,
    K: Float[Tensor, "B 3 3"],
    background: Tensor | None = None,
    shade: SelfShade | None = None,
) -> DrawnHands:
    """Pose, place, project and render hands; `renderer` must have the image size of `K`.

    `shade` has, for each vertex, the fractions of the light that the hand itself does not block.

    Raises: ValueError for a hand model without an appearance.
    """
    posed = pose_hands(model, hands, K)
    appearance = appearance_of(posed)
    return DrawnHands(posed, appearance, renderer(posed.verts_cam, K, appearance, hands.light, background, shade))


def appearance_of(posed: PosedHands) -> Appearance:
    """Return the appearance of hands that were posed with a texture. Raises: ValueError if they have none."""
    if posed.hand.appearance is None:
        raise ValueError(
            "these hands have no appearance; pose them with a texture, and with a model that supports textures"
        )
    return posed.hand.appearance


def in_front(points_cam: Float[Tensor, "*B N 3"], *, near_m: float = NEAR_M) -> Float[Tensor, "*B N 3"]:
    """Return the points with z limited to at least `near_m`; clamped values of z have no gradient."""
    return torch.cat((points_cam[..., :2], points_cam[..., 2:].clamp(min=near_m)), dim=-1)


def default_light(like: Float[Tensor, "B ..."]) -> Light:
    """Return a soft light from above and behind the camera, with the batch size, device and dtype of `like`."""
    batch = like.shape[0]
    direction = torch.nn.functional.normalize(like.new_tensor([0.0, -0.5, -1.0]), dim=0)
    return Light(
        ambient=like.new_full((batch, 3), 0.55),
        color=like.new_full((batch, 3), 0.5),
        direction=direction.expand(batch, 3),
    )


def mean_texture(model: HandModel, parameters: HandParameters) -> HandParameters:
    """Return the parameters with the mean texture of the model (all coefficients 0)."""
    texture = parameters.pose.new_zeros(len(parameters.pose), model.texture_dim)
    return HandParameters(parameters.global_orient, parameters.pose, parameters.shape, texture)


Record = TypeVar("Record")


def map_tensors(change: Callable[..., Tensor], *records: Record) -> Record:
    """Return a record in which every tensor is `change` applied to the corresponding tensors of `records`.

    A field that is None in any record is None in the result; values that are not tensors are those of the first record.
    """
    mapped: Any = _map(change, records)
    return mapped


def _map(change: Callable[..., Tensor], values: Sequence[Any]) -> Any:
    if any(value is None for value in values):
        return None
    first = values[0]
    if isinstance(first, Tensor):
        return change(*values)
    if not is_dataclass(first) or isinstance(first, type):
        return first
    names = [field.name for field in fields(first)]
    return type(first)(**{name: _map(change, [getattr(value, name) for value in values]) for name in names})


def choose(first: Bool[Tensor, " B"], a: Record, b: Record) -> Record:
    """Select hands from `a` where `first` is True, else from `b`."""
    return map_tensors(lambda x, y: torch.where(first.reshape(-1, *[1] * (x.ndim - 1)), x, y), a, b)
