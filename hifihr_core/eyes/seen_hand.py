"""`SeenHand`: a hand that the eyes found in a photo, with its joints, their errors and its probability."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from hifihr_core.samples import Side


@dataclass(frozen=True)
class SeenHand:
    """One hand in a photo, in pixels of the upright photo; joints are in the order of `skeleton.JOINT_NAMES`.

    `depth_px` is along the viewing direction, relative to the wrist, positive away from the camera, in pixels at the
    hand's distance. `metres` are the joints relative to the centre of the hand, in metres along the axes of the photo
    (+x right, +y down, +z away), roughly estimated by the network. `sigma_px` is the expected error of each joint along
    each axis: the scale of a Student's t distribution (`looks.sigma_of`). `confidence` is the probability that a joint
    is within a twentieth of the hand's size (`size_px`) of the truth. `score` is the probability that this is a hand;
    `side` is the person's anatomical side in an un-mirrored photo.
    """

    joints_px: Float[np.ndarray, "21 2"]
    depth_px: Float[np.ndarray, "21"]
    metres: Float[np.ndarray, "21 3"]
    sigma_px: Float[np.ndarray, "21"]
    confidence: Float[np.ndarray, "21"]
    score: float
    side: Side
    side_confidence: float

    def resized(self, factor: tuple[float, float]) -> "SeenHand":
        """Return the same hand in a photo whose width and height are multiplied by the two factors."""
        both = float(np.sqrt(factor[0] * factor[1]))
        return replace(
            self,
            joints_px=self.joints_px * np.array(factor),
            depth_px=self.depth_px * both,
            sigma_px=self.sigma_px * both,
        )

    @property
    def box_px(self) -> Float[np.ndarray, "4"]:
        """The bounding box x0, y0, x1, y1 of the joints, pixels."""
        return np.concatenate((self.joints_px.min(axis=0), self.joints_px.max(axis=0)))

    @property
    def size_px(self) -> float:
        """The longer side of the bounding box, pixels."""
        return float(np.ptp(self.joints_px, axis=0).max())
