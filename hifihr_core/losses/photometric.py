"""Terms that compare the rendered picture with the photo.

Terms on colours compare the pixels in `LossInputs.region`, which has no gradient, and weight samples by
`LossInputs.trust`. Gradients for the hand's outline come from `silhouette` and `iou`, through the renderer's
antialiased coverage. In parentheses after a term: its names in HiFiHR's code.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hifihr_core.lookup import needed
from hifihr_core.losses.terms import LossInputs, Ratio, mean_over_present, term


def region_mean(values: Float[Tensor, "B C H W"], region: Float[Tensor, "B H W"]) -> Float[Tensor, "B C"]:
    """Return the mean of each sample and channel over the region; 0 where the region is empty."""
    return (values * region[:, None]).sum(dim=(2, 3)) / region.sum(dim=(1, 2)).clamp(min=1e-6)[:, None]


def composite(
    rendered: Float[Tensor, "B 3 H W"], photo: Float[Tensor, "B 3 H W"], region: Float[Tensor, "B H W"]
) -> Float[Tensor, "B 3 H W"]:
    """Return the photo with the region replaced by the rendered picture, so that the two differ only there."""
    return torch.lerp(photo, rendered, region[:, None])


def ssim_map(a: Float[Tensor, "B C H W"], b: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Return structural similarity per pixel: Gaussian 11 x 11 window, sigma 1.5, zero padding (Wang et al. 2004)."""
    # Two calls, so that the photo's moments are computed without gradients.
    mean_a, aa, ab = gaussian_blur(torch.cat((a, a * a, a * b), dim=1)).chunk(3, dim=1)
    mean_b, bb = gaussian_blur(torch.cat((b, b * b), dim=1)).chunk(2, dim=1)
    numerator = (2 * mean_a * mean_b + 1e-4) * (2 * (ab - mean_a * mean_b) + 9e-4)
    return numerator / ((mean_a**2 + mean_b**2 + 1e-4) * (aa - mean_a**2 + bb - mean_b**2 + 9e-4))


def gaussian_blur(image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Filter the image with SSIM's window, with zero padding."""
    x = torch.arange(-5, 6, dtype=image.dtype, device=image.device)
    kernel = torch.softmax(-x.square() / (2 * 1.5**2), dim=0)
    n = image.shape[1]
    # In channels-last layout, torch's grouped convolution is several times faster on a CPU.
    image = image.contiguous(memory_format=torch.channels_last)
    down = functional.conv2d(image, kernel.view(1, 1, 11, 1).expand(n, 1, 11, 1), padding=(5, 0), groups=n)
    return functional.conv2d(down, kernel.view(1, 1, 1, 11).expand(n, 1, 1, 11), padding=(0, 5), groups=n)


def soft_iou(a: Float[Tensor, "B H W"], b: Float[Tensor, "B H W"]) -> Float[Tensor, " B"]:
    """Return intersection over union of two coverages in [0, 1]; 0 where both are empty."""
    both = (a * b).sum(dim=(1, 2))
    return both / (a + b - a * b).sum(dim=(1, 2)).clamp(min=1e-6)


@term("photometric", requires=("render", "region"))
def photometric(inputs: LossInputs) -> Ratio:
    """Mean absolute colour difference over the region (paper: texture, texture_self)."""
    rendered, region = _rendered(inputs)
    return _trusted(inputs, region_mean((rendered - inputs.image).abs(), region).mean(dim=1))


@term("mean_color", requires=("render", "region"))
def mean_color(inputs: LossInputs) -> Ratio:
    """Squared difference of the mean colours, per sample and channel (paper: mrgb, with one mean per batch)."""
    rendered, region = _rendered(inputs)
    difference = region_mean(rendered, region) - region_mean(inputs.image, region)
    return _trusted(inputs, difference.square().mean(dim=1))


@term("ssim", requires=("render", "region"))
def ssim(inputs: LossInputs) -> Ratio:
    """1 - structural similarity, averaged over the region (paper: ssim_tex, ssim_tex_self)."""
    rendered, region = _rendered(inputs)
    similarity = ssim_map(composite(rendered, inputs.image, region), inputs.image)
    return _trusted(inputs, region_mean(1 - similarity, region).mean(dim=1))


@term("perceptual", requires=("render", "region", "perceptual"))
def perceptual(inputs: LossInputs) -> Ratio:
    """Mean squared difference of deep features of the composite and the photo (paper: perceptual, VGG19 conv3_3)."""
    rendered, region = _rendered(inputs)
    network = needed(inputs.perceptual, "the perceptual network")
    with torch.no_grad():
        truth = network(inputs.image)
    features = network(composite(rendered, inputs.image, region))
    return _trusted(inputs, (features - truth).square().flatten(1).mean(dim=1))


@term("silhouette", labels=("mask",), requires=("render",))
def silhouette(inputs: LossInputs) -> Ratio:
    """Mean absolute difference of rendered coverage and mask over the whole crop (paper: sil)."""
    return mean_over_present(inputs, (_coverage(inputs) - inputs.labels["mask"].to(inputs.image)).abs(), "mask")


@term("iou", labels=("mask",), requires=("render",))
def iou(inputs: LossInputs) -> Ratio:
    """1 - intersection over union of rendered coverage and mask (paper: iou)."""
    return mean_over_present(inputs, 1 - soft_iou(_coverage(inputs), inputs.labels["mask"].to(inputs.image)), "mask")


def _rendered(inputs: LossInputs) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B H W"]]:
    return inputs.rendered.image, inputs.pixels[0]


def _coverage(inputs: LossInputs) -> Float[Tensor, "B H W"]:
    return inputs.rendered.silhouette


def _trusted(inputs: LossInputs, values: Float[Tensor, " B"]) -> Ratio:
    """Return values weighted by the trust in their samples; samples whose region is empty have weight 0."""
    region, trust = inputs.pixels
    weight = trust * inputs.present["image"] * (region.sum(dim=(1, 2)) > 0)
    return Ratio(torch.where(weight > 0, values * weight, 0.0), weight)
