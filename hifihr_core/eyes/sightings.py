"""Run the landmark network on regions of a photo; its outputs there are called sightings."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.networks import LANDMARK_PX
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import Regions, about_joints, same_regions

_CROPS_AT_ONCE = 16
#: Presence saturates: smaller differences mean nothing.
_AS_SURE = 0.05
#: Sightings whose joints are this close on average, in hand sizes, are the same reading.
_SAME_READING = 0.08
#: A region has converged if its centre moves by less than this fraction of its side, and side and rotation change by
#: less.
_SETTLED = (0.02, 1.04, 0.06)


@dataclass(frozen=True)
class Sightings:
    """The landmark network's output for N regions, in pixels and axes of the photo.

    `depth_px` is along the viewing direction, relative to the wrist, in pixels of the photo; `metres` are the joints in
    metres, relative to the centre of the hand. `presence` is the probability that the region shows a hand, `right` the
    probability that it is a right hand.
    """

    joints_px: Float[np.ndarray, "N 21 2"]
    depth_px: Float[np.ndarray, "N 21"]
    metres: Float[np.ndarray, "N 21 3"]
    presence: Float[np.ndarray, " N"]
    right: Float[np.ndarray, " N"]

    def __len__(self) -> int:
        """Return the number of sightings."""
        return len(self.presence)

    def __getitem__(self, which: np.ndarray) -> "Sightings":
        """Return a subset of the sightings."""
        return Sightings(*(getattr(self, field.name)[which] for field in fields(self)))

    def where(self, take: Bool[np.ndarray, " N"], other: "Sightings") -> "Sightings":
        """Return these sightings, replaced by those in `other` where `take` is True."""
        rows = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return Sightings(*(np.where(take.reshape(-1, *[1] * (a.ndim - 1)), b, a) for a, b in rows))

    def replaced(self, numbers: Int[np.ndarray, " M"], other: "Sightings") -> "Sightings":
        """Return these sightings, with those at the indices `numbers` replaced by the M sightings in `other`."""
        place = np.arange(len(self))
        place[numbers] = len(self) + np.arange(len(other))
        return join_sightings([self, other])[place]

    def size_px(self) -> Float[np.ndarray, " N"]:
        """Return the longer side of each hand's bounding box, pixels."""
        return np.ptp(self.joints_px, axis=1).max(axis=1)

    def rank(self) -> Float[np.ndarray, " N"]:
        """Return a number per sighting that is higher for better ones: first by presence, then by size.

        Size matters because the network, if it is shown only a part of a hand, squeezes all joints into that part, with
        the same presence as for a whole hand.
        """
        return np.round(self.presence / _AS_SURE) + 1 - 1 / (1 + self.size_px())

    def regions(self) -> Regions:
        """Return the region around the joints of each hand."""
        return about_joints(self.joints_px)


def join_sightings(parts: list[Sightings]) -> Sightings:
    """Concatenate sightings."""
    return Sightings(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Sightings)))


def look_at(
    engine: Engine, pyramid: Pyramid, regions: Regions, mirrored: Bool[np.ndarray, " N"] | None = None
) -> Sightings:
    """Run the landmark network on each region; where `mirrored` is True, on the mirrored crop."""
    mirrored = np.zeros(len(regions), dtype=bool) if mirrored is None else mirrored
    starts = range(0, max(len(regions), 1), _CROPS_AT_ONCE)
    parts = []
    for start in starts:
        some, flip = regions[start : start + _CROPS_AT_ONCE], mirrored[start : start + _CROPS_AT_ONCE]
        if not len(some):
            return _nothing()
        crops = pyramid.cut(some, LANDMARK_PX, mirrored=flip)
        parts.append(_in_photo(engine(crops), some, flip))
    return join_sightings(parts)


def look_again(engine: Engine, pyramid: Pyramid, seen: Sightings, *, rounds: int) -> Sightings:
    """Run the landmark network again on each hand, up to `rounds` times, on the region around its latest joints.

    Returns the latest result for each hand whose presence is not clearly lower than before. Hands whose region has
    converged, or that repeat a more certain one, are not processed again.
    """
    best = latest = seen
    going = np.sort(distinct_readings(seen))
    for _ in range(rounds):
        if not len(going):
            break
        before = latest.regions()[going]
        latest = latest.replaced(going, look_at(engine, pyramid, before))
        best = best.where(latest.presence >= best.presence - _AS_SURE, latest)
        moved = ~same_regions(latest.regions()[going], before, *_SETTLED)
        going = np.intersect1d(going[moved], distinct_readings(latest))
    return best


def distinct_readings(seen: Sightings) -> Int[np.ndarray, " M"]:
    """Return the indices of sightings that do not repeat the joints of a more certain one, most certain first."""
    kept: list[int] = []
    sizes = seen.size_px()
    for number in np.argsort(-seen.rank(), kind="stable").tolist():
        apart = np.linalg.norm(seen.joints_px[kept] - seen.joints_px[number], axis=2).mean(axis=1)
        if not (apart < _SAME_READING * sizes[number]).any():
            kept.append(number)
    return np.array(kept, dtype=int)


def _nothing() -> Sightings:
    return Sightings(np.zeros((0, 21, 2)), np.zeros((0, 21)), np.zeros((0, 21, 3)), np.zeros(0), np.zeros(0))


def _in_photo(outputs: list[np.ndarray], regions: Regions, mirrored: Bool[np.ndarray, " N"]) -> Sightings:
    joints, metres, presence, right = (output.astype(np.float64) for output in outputs)
    joints, metres = joints.reshape(-1, 21, 3), metres.reshape(-1, 21, 3)
    joints[mirrored, :, 0] = LANDMARK_PX - joints[mirrored, :, 0]
    metres[mirrored, :, 0] *= -1
    T_photo_crop = np.linalg.inv(regions.transforms(LANDMARK_PX))
    linear, scale = T_photo_crop[:, :2, :2], regions.side_px / LANDMARK_PX
    metres[..., :2] = np.einsum("nij,nkj->nki", linear / scale[:, None, None], metres[..., :2])
    return Sightings(
        joints_px=np.einsum("nij,nkj->nki", linear, joints[..., :2]) + T_photo_crop[:, None, :2, 2],
        depth_px=joints[..., 2] * scale[:, None],
        metres=metres,
        presence=presence[:, 0],
        right=np.where(mirrored, 1 - right[:, 0], right[:, 0]),
    )
