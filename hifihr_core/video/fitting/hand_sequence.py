"""A hand over time (one shape; a pose, rotation and position per frame), and its sightings."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from hifihr_core.hands import HandParameters
from hifihr_core.placed_hands import PlacedHands


@dataclass(frozen=True)
class HandSequence:
    """A right (or mirrored left) hand in T frames.

    `turn` holds its global rotation vectors, `root_cam` the positions of joint 9, metres.
    """

    shape: Float[np.ndarray, " S"]
    turn: Float[np.ndarray, "T 3"]
    root_cam: Float[np.ndarray, "T 3"]
    pose: Float[np.ndarray, "T P"]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.turn)

    def part(self, which: "slice | np.ndarray") -> "HandSequence":
        """Return a subset of the frames."""
        return HandSequence(self.shape, self.turn[which], self.root_cam[which], self.pose[which])

    def followed_by(self, other: "HandSequence") -> "HandSequence":
        """Return both sequences concatenated, with the shape of this one."""
        rows = [np.concatenate((getattr(self, name), getattr(other, name))) for name in ("turn", "root_cam", "pose")]
        return HandSequence(self.shape, *rows)

    def placed(self) -> PlacedHands:
        """Return the frames as a batch of hands."""
        return PlacedHands(
            HandParameters(_tensor(self.turn), _tensor(self.pose), _tensor(self.shape).expand(len(self), -1)),
            _tensor(self.root_cam),
        )


@dataclass(frozen=True)
class SeenSequence:
    """The sightings of one right (or mirrored left) hand in T frames, in pixels of the camera K.

    If ``weight[t, j]`` is 0, joint j was not seen in frame t and its pixel is meaningless; `sigma_px` is the standard
    deviation of a joint along each axis. `lifted` are the hands lifted from the pictures with the hand network's
    evidence, one per frame (interpolated where the hand was not seen); None if the hand network has not looked at them.
    """

    times_s: Float[np.ndarray, " T"]
    joints_px: Float[np.ndarray, "T 21 2"]
    sigma_px: Float[np.ndarray, "T 21"]
    weight: Float[np.ndarray, "T 21"]
    K: Float[np.ndarray, "3 3"]
    lifted: HandSequence | None = None

    def seen(self) -> Bool[np.ndarray, " T"]:
        """Return, for every frame, whether any joint was seen."""
        return np.asarray((self.weight > 0).any(axis=1))

    def part(self, which: "slice | np.ndarray") -> "SeenSequence":
        """Return a subset of the frames."""
        lifted = None if self.lifted is None else self.lifted.part(which)
        return replace(
            self,
            times_s=self.times_s[which],
            joints_px=self.joints_px[which],
            sigma_px=self.sigma_px[which],
            weight=self.weight[which],
            lifted=lifted,
        )


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()
