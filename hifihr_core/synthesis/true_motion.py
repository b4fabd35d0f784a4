"""Motion blur of a hand that moves during the exposure; it is stronger at the fingertips than at the wrist."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.rendering.fragments import Rendered
from hifihr_core.skeleton import WRIST
from hifihr_core.synthesis.dice import Dice

#: Moments at which a moving hand is rendered, in fractions of the exposure about its midpoint, to which labels refer.
_MOMENTS = tuple(step / 8 for step in range(-4, 5))
#: Standard deviations of rotation and translation during the exposure: radians and metres.
_TURN_RAD, _WAY_M = 0.09, 0.007


@dataclass(frozen=True)
class Motion:
    """The motion of the hands that are `moving` during the exposure: a rotation and a translation, camera frame.

    `turn` is the rotation over the whole exposure (axis times angle, radians) about the point `about`, `way` the
    translation, metres.
    """

    moving: Bool[Tensor, " B"]
    turn: Float[Tensor, "B 3"]
    way: Float[Tensor, "B 3"]
    about: Float[Tensor, "B 3"]

    def at(self, points_cam: Float[Tensor, "M V 3"], rows: Tensor, moment: float) -> Float[Tensor, "M V 3"]:
        """Return points of the samples `rows` at a moment: -0.5 is the start of the exposure, 0.5 its end."""
        R = turns.rotvec_to_rotmat(moment * self.turn[rows])
        about = self.about[rows][:, None]
        return (points_cam - about) @ R.mT + about + moment * self.way[rows][:, None]


def draw_motion(joints_cam: Float[Tensor, "B 21 3"], dice: Dice, share: float) -> Motion:
    """Return random motions of the hands, of which a fraction `share` moves: turns about a point near the wrist."""
    moving = dice.chance(share)
    about = joints_cam[:, WRIST] + 0.05 * dice.normal(3)
    return Motion(moving, _TURN_RAD * dice.normal(3), _WAY_M * dice.normal(3), about)


def with_motion(
    still: Rendered, motion: Motion | None, draw: Callable[[Tensor, Callable[[Tensor], Tensor]], Rendered]
) -> Rendered:
    """Return `still`, a layer rendered without motion, with moving hands averaged over the exposure.

    ``draw(rows, moved)`` renders the samples `rows` with `moved` applied to their vertices. Only picture and silhouette
    are averaged; depth and normals are those at the midpoint of the exposure.
    """
    if motion is None or not bool(motion.moving.any()):
        return still
    rows = torch.nonzero(motion.moving)[:, 0]
    layers = [draw(rows, _mover(motion, rows, moment)) for moment in _MOMENTS]
    image = torch.stack([one.image for one in layers]).mean(dim=0)
    outline = torch.stack([one.silhouette for one in layers]).mean(dim=0)
    return replace(
        still,
        image=still.image.index_copy(0, rows, image),
        silhouette=still.silhouette.index_copy(0, rows, outline),
    )


def _mover(motion: Motion, rows: Tensor, moment: float) -> Callable[[Tensor], Tensor]:
    return lambda points: motion.at(points, rows, moment)
