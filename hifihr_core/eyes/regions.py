"""Rotated squares in a photo: the input regions of the networks.

A region's `turn` is its clockwise rotation relative to the photo, in radians: a hand that points up in its region
points along ``(sin(turn), -cos(turn))`` in the photo.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

#: The region around a palm: shifted towards the fingers by half the longer side of its box, and 2.6 times as large.
_PALM_SHIFT, _PALM_SCALE = 0.5, 2.6
#: The region around joints, likewise: a tenth, and twice; its box holds the joints that fingers hardly move.
_JOINT_SHIFT, _JOINT_SCALE = 0.1, 2.0
_STEADY_JOINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]


@dataclass(frozen=True)
class Regions:
    """N rotated squares in a photo: centres and sides in pixels of the photo, and rotations in radians."""

    center_px: Float[np.ndarray, "N 2"]
    side_px: Float[np.ndarray, " N"]
    turn: Float[np.ndarray, " N"]

    def __len__(self) -> int:
        """Return the number of regions."""
        return len(self.side_px)

    def __getitem__(self, which: "slice | Int[np.ndarray, ' M'] | Bool[np.ndarray, ' N']") -> "Regions":
        """Return a subset of the regions."""
        return Regions(self.center_px[which], self.side_px[which], self.turn[which])

    def up(self) -> Float[np.ndarray, "N 2"]:
        """Return the unit vector in the photo that points up in each region."""
        return np.stack((np.sin(self.turn), -np.cos(self.turn)), axis=-1)

    def transforms(self, image_px: int) -> Float[np.ndarray, "N 3 3"]:
        """Return `T_crop_photo` per region: from pixels of the photo to those of a crop `image_px` wide and high."""
        down = -self.up()
        right = np.stack((down[:, 1], -down[:, 0]), axis=-1)
        scale = image_px / self.side_px
        T_crop_photo = np.tile(np.eye(3), (len(self), 1, 1))
        T_crop_photo[:, 0, :2], T_crop_photo[:, 1, :2] = right * scale[:, None], down * scale[:, None]
        T_crop_photo[:, :2, 2] = image_px / 2 - np.einsum("nij,nj->ni", T_crop_photo[:, :2, :2], self.center_px)
        return T_crop_photo

    def moved(
        self, shift: Float[np.ndarray, "N 2"], scale: Float[np.ndarray, " N"], turn: Float[np.ndarray, " N"]
    ) -> "Regions":
        """Return the regions shifted, scaled, and rotated clockwise by `turn` radians.

        `shift` is to the right and downwards along the axes of each region, as a multiple of its side.
        """
        down = -self.up()
        right = np.stack((down[:, 1], -down[:, 0]), axis=-1)
        offset = right * shift[:, :1] + down * shift[:, 1:]
        return Regions(self.center_px + offset * self.side_px[:, None], self.side_px * scale, self.turn + turn)

    def repeated(self, times: int) -> "Regions":
        """Return every region `times` times, with the copies of a region next to each other."""
        return self[np.repeat(np.arange(len(self)), times)]


def joined(parts: list[Regions]) -> Regions:
    """Concatenate regions."""
    if not parts:
        return Regions(np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    return Regions(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("center_px", "side_px", "turn"))
    )


def upright(center_px: Float[np.ndarray, "2"], side_px: float) -> Regions:
    """Return a single unrotated region."""
    return Regions(np.asarray(center_px, dtype=np.float64)[None], np.array([float(side_px)]), np.zeros(1))


def about_palms(
    center_px: Float[np.ndarray, "N 2"], side_px: Float[np.ndarray, " N"], points_px: Float[np.ndarray, "N 7 2"]
) -> Regions:
    """Return the region of each palm's hand.

    `center_px`, `side_px` (the longer side of the box) and `points_px` describe the palm; point 0 is the wrist, point 2
    the base (MCP joint) of the middle finger.
    """
    turn = _turn(points_px[:, 2] - points_px[:, 0])
    shift = np.tile([0.0, -_PALM_SHIFT], (len(turn), 1))
    return Regions(center_px, side_px, turn).moved(shift, np.full(len(turn), _PALM_SCALE), np.zeros(len(turn)))


def about_joints(joints_px: Float[np.ndarray, "N 21 2"]) -> Regions:
    """Return the region of each hand, given its joints.

    It surrounds the joints that hardly move when the fingers bend. Its upward direction is from the wrist to a mean of
    the PIP joints of index, middle and ring finger.
    """
    knuckles = joints_px[:, 6] / 4 + joints_px[:, 10] / 2 + joints_px[:, 14] / 4
    turn = _turn(knuckles - joints_px[:, 0])
    origin = joints_px.mean(axis=1)
    down = np.stack((-np.sin(turn), np.cos(turn)), axis=-1)
    right = np.stack((down[:, 1], -down[:, 0]), axis=-1)
    axes = np.stack((right, down), axis=1)
    own = np.einsum("nij,nkj->nki", axes, joints_px[:, _STEADY_JOINTS] - origin[:, None])
    low, high = own.min(axis=1), own.max(axis=1)
    center = origin + np.einsum("nij,ni->nj", axes, (low + high) / 2)
    side = np.maximum((high - low).max(axis=1), 1e-3)
    shift = np.tile([0.0, -_JOINT_SHIFT], (len(turn), 1))
    return Regions(center, side, turn).moved(shift, np.full(len(turn), _JOINT_SCALE), np.zeros(len(turn)))


def same_regions(one: Regions, other: Regions, center: float, side: float, turn: float) -> Bool[np.ndarray, " N"]:
    """Return, for every index, whether the two regions with this index in `one` and `other` nearly coincide.

    If `one` or `other` consists of a single region, that is compared with all regions of the other list. Two regions
    nearly coincide if their centres differ by less than `center` times the longer side, their sides by less than the
    factor `side`, and their rotations by less than `turn` radians.
    """
    ratio = np.abs(np.log(one.side_px / other.side_px))
    apart = np.linalg.norm(one.center_px - other.center_px, axis=1)
    turned = np.abs((one.turn - other.turn + np.pi) % (2 * np.pi) - np.pi)
    return (apart < center * np.maximum(one.side_px, other.side_px)) & (ratio < np.log(side)) & (turned < turn)


def _turn(direction: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, " N"]:
    return np.arctan2(direction[:, 0], -direction[:, 1])
