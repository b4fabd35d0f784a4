"""Options for the variety of synthetic pictures."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hifihr_core.augmentation.draws import AugmentRanges

#: Colours, blur and noise of a camera; stronger than in training augmentation, since nothing else varies them.
CAMERA_RANGES = AugmentRanges(
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    white_balance=0.08,
    gamma=(0.75, 1.35),
    gamma_probability=0.6,
    blur_sigma_px=(0.4, 1.5),
    blur_probability=0.35,
    noise=0.04,
    noise_probability=0.7,
    jpeg_quality=(40, 95),
    jpeg_probability=1.0,
    cover_probability=0.0,
)

#: Kinds of light on a hand: one lamp, or an environment map.
LightKind = Literal["lamp", "environment"]


@dataclass(frozen=True)
class SynthOptions:
    """Ranges and probabilities (per picture) of everything that is random in synthetic pictures.

    `view` is how the camera is placed (`scene.VIEWS`): "crop" is a square around the hand, cut out of a larger photo,
    with the principal point anywhere; "centered" is a camera that looks at the hand, as in FreiHAND; "frame" is a whole
    picture from a fixed camera with a hand somewhere in it, as in HO-3D. Pictures are `image_px` wide, and square
    unless `height_px` is given.

    `fill` is the range of the longer side of the hand's box, and `shift` the largest offset of the box's centre from
    that of the picture, both as fractions of the picture. `distance_m` is the range of the root's depth, `off_axis_rad`
    the largest angle between the optical axis and the ray to the hand: the principal point is outside many crops, as
    for crops of large photos.

    `forearm`, `sleeve` (on a forearm), `held_object`, `occluder`, `second_hand`, `glove`, `ring`, `watch` and `shadow`
    (on the background) are the probabilities of these things; with a glove, `present["texture"]` is False.
    `plain_occluder` is the probability that an occluder has a single random colour, `motion_blur` that the whole
    picture is blurred along a line, `true_motion` that the hand is blurred by its own motion, and `missing_keypoint`
    that the simulated detector misses a visible joint. `wide_poses` is the fraction of poses that are moved beyond
    those that the hand model samples, `texture_spread` a factor on random texture coefficients, and `camera` has the
    ranges of colours, blur and noise.

    `light` is one lamp, or an environment map that also determines background and exposure; the map is from the folder
    `environments` (.hdr or .exr, latitude by longitude) or procedural. `pictures_each` consecutive pictures show
    one person: shape and skin are the same, pose, view and light differ. `photos` is a folder of the user's
    backgrounds, `backgrounds` the number of procedural ones (and of procedural environment maps).
    """

    view: Literal["crop", "centered", "frame"] = "crop"
    image_px: int = 224
    height_px: int | None = None
    fill: tuple[float, float] = (0.5, 0.92)
    shift: float = 0.08
    distance_m: tuple[float, float] = (0.25, 1.3)
    off_axis_rad: float = 0.35
    forearm: float = 0.93
    sleeve: float = 0.45
    held_object: float = 0.3
    occluder: float = 0.25
    plain_occluder: float = 0.0
    wide_poses: float = 0.0
    shadow: float = 0.5
    motion_blur: float = 0.12
    true_motion: float = 0.0
    second_hand: float = 0.0
    glove: float = 0.0
    ring: float = 0.0
    watch: float = 0.0
    texture_spread: float = 0.85
    missing_keypoint: float = 0.04
    camera: AugmentRanges = field(default=CAMERA_RANGES)
    light: LightKind = "lamp"
    environments: Path | None = None
    pictures_each: int = 1
    photos: Path | None = None
    backgrounds: int = 96

    @property
    def size_px(self) -> tuple[int, int]:
        """Return (height, width) of the pictures."""
        return self.height_px or self.image_px, self.image_px
