"""Move the labels of a batch with their pictures: 2D by an affine map of the picture, 3D by a rotation of the camera.

The rules are batched torch code on the device of the labels; on a CPU, compiled loops move the most frequent labels.
`samples.LABELS` names the rule by which each label moves; this module contains the rules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.augmentation.moving_loops import move_points_px, turn_points, turn_rotations
from hifihr_core.geometry import turns
from hifihr_core.records import LABELS
from hifihr_core.rendering.skylight import turn_sky
from hifihr_core.samples import Moves

_EYE = torch.eye(3)


@dataclass(frozen=True)
class Motion:
    """The motion of a batch of pictures.

    `T_new_old` maps pixels of the old pictures to the new ones. `M_new_old` maps the old camera frame to the new one:
    a rotation about the optical axis, times diag(-1, 1, 1) if the picture is `mirrored`. K_new M_new_old equals
    T_new_old K_old, so moved 3D labels project onto the moved 2D labels.
    """

    T_new_old: Float[Tensor, "B 3 3"]
    M_new_old: Float[Tensor, "B 3 3"]
    mirrored: Bool[Tensor, " B"]

    def to(self, device: torch.device | str) -> "Motion":
        """Return the motion with its tensors on a device."""
        return Motion(**{name: value.to(device) for name, value in vars(self).items()})


def move_labels(
    labels: Mapping[str, Tensor], present: Mapping[str, Bool[Tensor, " B"]], motion: Motion
) -> tuple[dict[str, Tensor], dict[str, Bool[Tensor, " B"]]]:
    """Return labels and presence after a motion. `mask` is not among them: it is warped with its picture.

    The rotation and pose of a right-hand model cannot describe a mirrored hand, so a mirrored sample loses these
    labels. Raises: ValueError for a label without a rule.
    """
    turned = not torch.equal(motion.M_new_old, _EYE.expand_as(motion.M_new_old).to(motion.M_new_old.device))
    rules = {name: _rule(name) for name in labels}
    moved = {
        name: _move(rules[name], values, motion) if turned or rules[name].in_pixels else values
        for name, values in labels.items()
    }
    if not turned:
        return moved, dict(present)
    lost = {name for name in labels if rules[name].of_right_hand}
    kept = {name: has & ~motion.mirrored if name in lost else has for name, has in present.items()}
    for name in lost:
        moved[name] = moved[name] * kept[name][:, None]
    return moved, kept


def _move(rule: "_Rule", values: Tensor, motion: Motion) -> Tensor:
    """Move a label by its rule, in a compiled loop where there is one."""
    if rule.loop is None or values.device.type != "cpu" or values.dtype != torch.float32:
        return rule.move(values, motion)
    out = np.empty(values.shape, np.float32)
    rule.loop(values.contiguous().numpy(), motion.T_new_old.numpy(), motion.M_new_old.numpy(), out)
    return torch.from_numpy(out)


def _points_px(points: Float[Tensor, "B N 2"], motion: Motion) -> Float[Tensor, "B N 2"]:
    return points @ motion.T_new_old[:, :2, :2].mT + motion.T_new_old[:, None, :2, 2]


def _detected_px(points: Float[Tensor, "B N 2"], motion: Motion) -> Float[Tensor, "B N 2"]:
    """Return moved detections; (0, 0), which stands for a joint that was not detected, is not moved."""
    found = (points != 0).any(dim=-1, keepdim=True)
    return torch.where(found, _points_px(points, motion), points)


def _box_px(box: Float[Tensor, "B 4"], motion: Motion) -> Float[Tensor, "B 4"]:
    """Return the upright box around the moved corners."""
    corners = box[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]
    moved = _points_px(corners, motion)
    return torch.cat((moved.amin(dim=1), moved.amax(dim=1)), dim=-1)


def _cam(points: Float[Tensor, "B *N 3"], motion: Motion) -> Float[Tensor, "B *N 3"]:
    """Return points, or one vector per sample, in the new camera frame."""
    if points.ndim == 2:
        return (motion.M_new_old @ points[..., None])[..., 0]
    return (motion.M_new_old @ points.mT).mT


def _rotation(global_orient: Float[Tensor, "B 3"], motion: Motion) -> Float[Tensor, "B 3"]:
    """Return the rotation of the hand in the new camera; it is meaningless for a mirrored sample."""
    angle = torch.atan2(motion.M_new_old[:, 1, 0], motion.M_new_old[:, 1, 1])
    zeros = torch.zeros_like(angle)
    roll = torch.stack((zeros, zeros, (angle / 2).sin(), (angle / 2).cos()), dim=-1)
    return turns.unitquat_to_rotvec(turns.quat_product(roll, turns.rotvec_to_unitquat(global_orient)))


def _light(light: Float[Tensor, "B 9"], motion: Motion) -> Float[Tensor, "B 9"]:
    return torch.cat((light[:, :6], _cam(light[:, 6:], motion)), dim=-1)


def _sky(sky: Float[Tensor, "B 8 3"], motion: Motion) -> Float[Tensor, "B 8 3"]:
    return turn_sky(sky, motion.M_new_old)


def _same(values: Tensor, motion: Motion) -> Tensor:
    return values


#: A compiled loop: it reads values, T_new_old and M_new_old, and writes the moved values into its last argument.
_Loop = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class _Rule:
    """How a kind of label moves: `move` in torch, and `loop`, if any, the same for float32 labels on a CPU.

    `in_pixels` marks labels that move even if the camera does not rotate, `of_right_hand` those that a mirrored sample
    loses.
    """

    move: Callable[[Tensor, Motion], Tensor]
    in_pixels: bool = False
    of_right_hand: bool = False
    loop: _Loop | None = None


def _turn_any(points: np.ndarray, T: np.ndarray, M: np.ndarray, out: np.ndarray) -> None:
    turn_points(points.reshape(len(M), -1, 3), M, out.reshape(len(M), -1, 3))


_RULES: Mapping[Moves, _Rule] = MappingProxyType(
    {
        "not": _Rule(_same),
        "cam": _Rule(_cam, loop=_turn_any),
        "px": _Rule(_points_px, in_pixels=True, loop=lambda px, T, _, out: move_points_px(px, T, False, out)),
        "found_px": _Rule(_detected_px, in_pixels=True, loop=lambda px, T, _, out: move_points_px(px, T, True, out)),
        "box_px": _Rule(_box_px, in_pixels=True),
        "global_rotation": _Rule(
            _rotation, of_right_hand=True, loop=lambda turns, _, M, out: turn_rotations(turns, M, out)
        ),
        "joint_rotations": _Rule(_same, of_right_hand=True),
        "light": _Rule(_light),
        "sky": _Rule(_sky),
    }
)


def _rule(name: str) -> _Rule:
    if name not in LABELS or LABELS[name].moves not in _RULES:
        movable = ", ".join(known for known, label in LABELS.items() if label.moves in _RULES)
        raise ValueError(f"label is {name!r}, expected one of {movable}")
    return _RULES[LABELS[name].moves]
