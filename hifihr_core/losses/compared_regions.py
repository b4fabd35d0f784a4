"""The pixels that photometric terms compare, and the trust in (weight of) each sample."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.rendering.fragments import Rendered

Labels = Mapping[str, Tensor]
Present = Mapping[str, Bool[Tensor, " B"]]

#: Pixels with less coverage also show background; if they were compared, the network would learn smaller hands.
WHOLLY_COVERED = 0.999

#: A sample with any joint below this confidence is not used for texture (S2HAND).
LEAST_CONFIDENCE = 0.1


@dataclass(frozen=True)
class Region:
    """A rule for the pixels to compare: the labels that it reads, and a function that returns (pixels, trust)."""

    labels: frozenset[str]
    function: Callable[[Rendered, Labels, Present], tuple[Float[Tensor, "B H W"], Float[Tensor, " B"]]]


def inside_mask(
    rendered: Rendered, labels: Labels, present: Present
) -> tuple[Float[Tensor, "B H W"], Float[Tensor, " B"]]:
    """Return 1 for pixels where the hand is rendered and annotated, and the trust: 0 for samples without a mask."""
    interior = (rendered.silhouette > WHOLLY_COVERED) & (labels["mask"] > 0)
    return interior.to(rendered.image.dtype), present["mask"].to(rendered.image.dtype)


def by_keypoints(
    rendered: Rendered, labels: Labels, present: Present
) -> tuple[Float[Tensor, "B H W"], Float[Tensor, " B"]]:
    """Return 1 for pixels where the hand is rendered, and the trust: the keypoints' squared mean confidence (S2HAND).

    The trust is 0 if any keypoint has a confidence of 0.1 or less.
    """
    interior = (rendered.silhouette > WHOLLY_COVERED).to(rendered.image.dtype)
    confidence = labels["keypoints_confidence"].to(interior)
    sure = (confidence.amin(dim=1) > LEAST_CONFIDENCE) & present["keypoints_confidence"]
    return interior, confidence.mean(dim=1).square() * sure


REGIONS = {
    "mask": Region(frozenset({"mask"}), inside_mask),
    "keypoints": Region(frozenset({"keypoints_confidence"}), by_keypoints),
}
