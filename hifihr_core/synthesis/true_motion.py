"""Motion blur of a hand that moved while the shutter was open: the tips blur more than the wrist, the background not at
all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.rendering.fragments import Rendered
from hifihr_core.skeleton import WRIST
from hifihr_core.synthesis.dice import Dice

#: Moments at which a moving hand is drawn, in parts of the exposure about its middle, which the labels are of.
_MOMENTS = tuple(step / 8 for step in range(-4, 5))
#: Standard deviations of the turn and of the way during the exposure: radians and metres.
_TURN_RAD, _WAY_M = 0.09, 0.007


@dataclass(frozen=True)
class Motion:
    """How some hands move during the exposure: a turn about a point and a way, camera frame; `moving` says which."""

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
    """Return a motion for a `share` of the hands, about a point near the wrist."""
    moving = dice.chance(share)
    about = joints_cam[:, WRIST] + 0.05 * dice.normal(3)
    return Motion(moving, _TURN_RAD * dice.normal(3), _WAY_M * dice.normal(3), about)


def with_motion(
    still: Rendered, motion: Motion | None, draw: Callable[[Tensor, Callable[[Tensor], Tensor]], Rendered]
) -> Rendered:
    """Return a rendered layer whose picture and outline are the mean over the exposure where its hand moves.

    ``draw(rows, moved)`` renders the samples `rows` with their vertices put through `moved`. Depth and labels are of
    the middle of the exposure.
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
