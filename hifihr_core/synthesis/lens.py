"""Image-space effects of light and lens on a rendered hand: darker folds, cast shadows, uneven light, motion blur."""

from collections.abc import Sequence

import cv2
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hifihr_core.augmentation import pixel_loops
from hifihr_core.synthesis.dice import Dice


def darken_folds(
    image: Float[Tensor, "B 3 H W"],
    depth: Float[Tensor, "B H W"],
    strength: Float[Tensor, " B"],
) -> Float[Tensor, "B 3 H W"]:
    """Darken points that are deeper than their surroundings: screen-space ambient occlusion at three scales.

    `depth` is infinite where there is no surface. A point that is on average a centimetre or more deeper than its
    surroundings is darkened by the fraction `strength`. This is computed at half size, since such shadows are soft.
    """
    seen = depth.isfinite()
    weight = F.avg_pool2d(seen.to(depth)[:, None], 2)
    values = F.avg_pool2d(torch.where(seen, depth, torch.zeros((), device=depth.device))[:, None], 2)
    own = values / weight.clamp(min=0.25)
    hidden = torch.zeros_like(values)
    for radius in (1, 3, 6):
        around = _mean(values, radius) / _mean(weight, radius).clamp(min=1e-3)
        hidden = hidden + ((own - around) / 0.010).clamp(0, 1.5) / 3
    hidden = F.interpolate(hidden * weight, size=depth.shape[-2:], mode="bilinear", align_corners=False).clamp(0, 1)
    return image * (1 - strength[:, None, None, None] * hidden * seen[:, None])


def _mean(values: Float[Tensor, "B 1 H W"], radius: int) -> Float[Tensor, "B 1 H W"]:
    """Return the mean over a square around every pixel, whose side is ``2 * radius + 1``; zeros beyond the border."""
    size = 2 * radius + 1
    if values.device.type == "cpu" and values.dtype == torch.float32:
        out = torch.empty_like(values)
        for plane, target in zip(values.numpy()[:, 0], out.numpy()[:, 0], strict=True):
            cv2.boxFilter(plane, -1, (size, size), dst=target, borderType=cv2.BORDER_CONSTANT)
        return out
    return F.avg_pool2d(F.avg_pool2d(values, (1, size), 1, (0, radius)), (size, 1), 1, (radius, 0))


def cast_shadow(
    backdrop: Float[Tensor, "B 3 H W"], coverage: Float[Tensor, "B H W"], dice: Dice, probability: float
) -> Float[Tensor, "B 3 H W"]:
    """Darken the background beside some of the hands, as if they cast a shadow on a wall or table close behind."""
    small = F.avg_pool2d(coverage[:, None], 4)
    theta = torch.eye(2, 3, device=dice.device).repeat(dice.batch, 1, 1)
    theta[:, :, 2] = dice.uniform(-0.35, 0.35, 2)
    grid = F.affine_grid(theta, list(small.shape), align_corners=False)
    moved = F.grid_sample(small, grid, align_corners=False)
    soft = F.avg_pool2d(F.avg_pool2d(moved, 5, 1, 2), 5, 1, 2)
    moved = torch.where(dice.chance(0.7)[:, None, None, None], soft, moved)
    shade = F.interpolate(moved, size=coverage.shape[-2:], mode="bilinear", align_corners=False)
    strength = dice.uniform(0.15, 0.6) * dice.chance(probability)
    return backdrop * (1 - strength[:, None, None, None] * shade)


def uneven_light(size_px: Sequence[int], dice: Dice) -> Float[Tensor, "B 1 H W"]:
    """Return a smooth random field around 1: light fall-off, shadows from outside the picture, a vignette."""
    coarse = dice.uniform(0.0, 0.22)[:, None, None, None] * dice.normal(1, 4, 4)
    return (1 + F.interpolate(coarse, size=tuple(size_px), mode="bicubic", align_corners=True)).clamp(0.35, 1.6)


def expose_film(image: Float[Tensor, "B 3 H W"], field: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Multiply pictures by a brightness per pixel, `field`, and softly compress highlights, as cameras do."""
    if image.device.type == "cpu" and image.dtype == torch.float32:
        out = torch.empty_like(image, memory_format=torch.contiguous_format)
        for b, picture in enumerate(image.numpy()):
            pixel_loops.expose_film(picture, field[b, 0].numpy(), out[b].numpy())
        return out
    return roll_off(image * field)


def roll_off(image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Softly compress highlights, as cameras do: values up to 0.7 stay the same, higher ones approach 1."""
    over = (image - 0.7).clamp(min=0)
    return torch.where(image > 0.7, 0.7 + 0.3 * (1 - torch.exp(-over / 0.3)), image).clamp(0, 1)


def expose(image: Float[Tensor, "B 3 H W"], dice: Dice) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, " B"]]:
    """Return the pictures at about the brightness that a camera would choose, and the factor for each."""
    brightness = image.mean(dim=(1, 2, 3)).clamp(min=0.02)
    gain = (dice.log_uniform(0.25, 0.6) / brightness).pow(0.65).clamp(0.5, 2.2)
    return image * gain[:, None, None, None], gain


def blur_motion(image: Float[Tensor, "B 3 H W"], dice: Dice, probability: float) -> Float[Tensor, "B 3 H W"]:
    """Blur each sample with this probability, along a random line of up to a twentieth of the picture."""
    moving = dice.chance(probability)
    length = dice.uniform(0.01, 0.05)
    angle = dice.uniform(0.0, torch.pi)
    chosen = torch.nonzero(moving)[:, 0]
    if not len(chosen):
        return image
    step = torch.stack((angle.cos(), angle.sin()), dim=-1)[chosen] * length[chosen, None]
    moved = image[chosen]
    total = torch.zeros_like(moved)
    taps = torch.linspace(-1, 1, 7, device=image.device)
    for tap in taps:
        theta = torch.eye(2, 3, device=image.device).repeat(len(chosen), 1, 1)
        theta[:, :, 2] = step * tap
        grid = F.affine_grid(theta, list(moved.shape), align_corners=False)
        total = total + F.grid_sample(moved, grid, padding_mode="border", align_corners=False)
    return image.index_copy(0, chosen, total / len(taps))
