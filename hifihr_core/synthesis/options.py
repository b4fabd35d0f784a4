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
    """Ranges of all random quantities; probabilities are per picture.

    `view` names how the camera is placed (`scene.VIEWS`): "crop" cuts a square around the hand out of a larger photo,
    with the principal point anywhere; "centered" looks at the hand, as FreiHAND's pictures do; "frame" is a whole
    picture from a fixed camera with a hand somewhere in it, as in HO-3D. Pictures are `image_px` wide, and square
    unless `height_px` is given.

    `fill` is the longer side of the hand's box as a fraction of the crop, `shift` the largest offset of the box's
    centre as a fraction of the crop, `distance_m` the range of the root's depth (log-uniform), and `off_axis_rad` the
    largest angle between the optical axis and the ray to the hand, so that K's principal point is outside many crops,
    as for crops of large photos. A fraction `plain_occluder` of the occluders has a single random colour; `wide_poses`
    is the fraction of poses that are moved beyond the hand's own bank. `second_hand`, `glove`, `ring` and `watch` are
    the probabilities of these additions; under a glove, `present["texture"]` is False. `motion_blur` blurs the whole
    picture along a line, `true_motion` the hand along its own path while the shutter is open. `light` is one lamp, or
    an environment map that matches background and exposure: one from the folder `environments` (.hdr or .exr, latitude
    by longitude), or a procedural one. `pictures_each` consecutive pictures show one person: the same shape and skin,
    each with its own pose, view and light. `photos` is a folder of the user's own backgrounds, `backgrounds` the number
    of procedural ones in the bank.
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
        """Return (height, width)."""
        return self.height_px or self.image_px, self.image_px
