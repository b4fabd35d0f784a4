"""Motion blur of a hand that moves during the exposure: tips blur more than the wrist, the background does not."""

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
    """The motion of hands during the exposure (a rotation about a point, a translation; camera frame), if `moving`."""

    moving: Bool[Tensor, " B"]
    turn: Float[Tensor, "B 3"]
    way: Float[Tensor, "B 3"]
    about: Float[Tensor, "B 3"]

    def at(self, points_cam: Float[Tensor, "M V 3"], rows: Tensor, moment: float) -> Float[Tensor, "M V 3"]:
        """Return points of the samples `rows` at a moment of the exposure."""
        R = turns.rotvec_to_rotmat(moment * self.turn[rows])
        about = self.about[rows][:, None]
        return (points_cam - about) @ R.mT + about + moment * self.way[rows][:, None]


def draw_motion(joints_cam: Float[Tensor, "B 21 3"], dice: Dice, share: float) -> Motion:
    """Return a motion about a point near the wrist for a fraction `share` of the hands."""
    moving = dice.chance(share)
    about = joints_cam[:, WRIST] + 0.05 * dice.normal(3)
    return Motion(moving, _TURN_RAD * dice.normal(3), _WAY_M * dice.normal(3), about)


def with_motion(
    still: Rendered, motion: Motion | None, draw: Callable[[Tensor, Callable[[Tensor], Tensor]], Rendered]
) -> Rendered:
    """Return a rendered layer whose picture and outline are averaged over the exposure for moving hands.

    ``draw(rows, moved)`` renders the samples `rows` with `moved` applied to their vertices. Depth and labels refer to
    the midpoint of the exposure.
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
